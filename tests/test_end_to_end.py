"What crosses modules: the whole model at MICRO size, from a recipe to a folder and back."
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from odise.pretrain import UNET_CONFIG, VAE_CONFIG, build_clip
from odise.world import CATEGORIES, data_path


@pytest.fixture(scope='module')
def giants():
    from odise.clip import FrozenCLIP
    from odise.ldm import toy_ldm
    torch.manual_seed(0)
    model, tokenize, _ = build_clip(data_path('micro', 'clip', 'bpe.txt.gz'), 64)
    return toy_ldm(vae=VAE_CONFIG, unet=UNET_CONFIG), FrozenCLIP(model.eval(), tokenize)


@pytest.mark.parametrize('name', ['micro-label', 'micro-caption'])
def test_gradients_reach_what_learns_and_nothing_else(giants, name):
    from odise.model import odise_losses, trainable
    from odise.recipe import RECIPES, build
    model = build(RECIPES[name], CATEGORIES, *giants)
    outputs = model(model.prepare(torch.rand(2, 3, 64, 64)), (64, 64))
    targets = [dict(labels=torch.tensor([1, 2]), masks=torch.rand(2, 64, 64) > .5)]*2
    words = None if name == 'micro-label' else [['dog']*8, ['cat']*8]
    losses = odise_losses(model, outputs, targets, words, torch.ones(2, dtype=torch.bool), dense=True)
    sum(losses.values()).backward()
    assert not [n for n, p in trainable(model).items() if p.grad is None]
    assert all(p.grad is None for p in [*giants[0].parameters(), *giants[1].parameters()])


@pytest.mark.parametrize('name', ['micro-label', 'micro-random', 'micro-empty', 'micro-vae', 'micro-clip'])
def test_every_eye_builds_through_a_recipe_and_its_head_learns(giants, name):
    from odise.model import trainable
    from odise.recipe import MICRO, RECIPES, asdict, build, recipe_from
    recipe = RECIPES[name]
    assert recipe_from(asdict(recipe)) == recipe
    model = build(recipe, CATEGORIES, *giants)
    assert set(model.pyramid.strides) == set(MICRO.head.strides)
    outputs = model(model.prepare(torch.rand(1, 3, 64, 128)), (64, 128))
    sum(o['pred_masks'].square().mean() + o['mask_embed'].square().mean() for o in outputs).backward()
    silent = {n for n, p in trainable(model).items() if p.grad is None}
    assert {n.split('.')[0] for n in silent} <= {'post_mask_embed', 'text_head'}, silent   # the temperature and the names
    assert any(n.startswith('backbone') for n in trainable(model)) == (name in ('micro-label', 'micro-random'))


def test_an_old_config_without_the_newer_entries_still_reads():
    import json
    from odise.recipe import asdict, flat, recipe_from, MICRO
    tree = json.loads(json.dumps(asdict(MICRO)))
    for part, key in (('fusion', 'cover'), ('eye', 'strides'), ('eye', 'window')): del tree[part][key]
    assert recipe_from(tree).fusion.cover is None
    assert len(flat(recipe_from(tree))) == len(flat(MICRO))
    recipe_from(json.loads(data_path('micro', 'label', 'config.json').read_text())['recipe'])


def test_folder_round_trip_keeps_the_map_and_names_bad_tensors(giants, tmp_path):
    from odise.files import read_tensors, write_tensors
    from odise.model import trainable
    from odise.recipe import MICRO, build, load_model, save_model
    model = build(MICRO, CATEGORIES, *giants).eval()
    save_model(model, MICRO, tmp_path, torch.float32)
    again = load_model(tmp_path, *giants)
    image = torch.randint(0, 255, (3, 64, 160), dtype=torch.uint8)
    a, b = (m.segment(image, 'dog; pizza, slice of pizza; grass') for m in (model, again))
    assert torch.equal(a.panoptic, b.panoptic) and torch.equal(a.probs, b.probs)
    tensors, _ = read_tensors(tmp_path/'model.safetensors')
    assert set(tensors) == set(trainable(model))
    tensors['text_head.text_proj.bias'] = torch.zeros(3)
    write_tensors(tmp_path/'model.safetensors', tensors)
    with pytest.raises(ValueError, match='text_proj.bias has shape'): load_model(tmp_path, *giants)


def test_too_small_an_image_and_an_empty_vocabulary_are_refused(giants):
    from odise.recipe import MICRO, build
    model = build(MICRO, CATEGORIES, *giants).eval()
    with pytest.raises(ValueError, match='at least 16'): model.look(torch.zeros(3, 8, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match='empty'): model.segment(torch.zeros(3, 64, 64, dtype=torch.uint8), '')


def test_importing_odise_loads_no_torch():
    code = 'import odise, sys; assert "torch" not in sys.modules and "diffusers" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


@pytest.mark.parametrize('words, says', [(['nowhere.png'], 'nowhere.png'), ])
def test_bad_input_ends_in_one_line(words, says):
    program = Path(sys.executable).with_name('odise_segment')
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode and says in done.stderr and 'Traceback' not in done.stderr


def test_rows_in_memory_and_results_on_disk_agree(tmp_path):
    import json
    import pandas as pd
    from odise.cli import odise_eval
    from odise.world import write_split
    world = write_split(tmp_path, 'val', 12, progress=False)
    odise_eval(data=str(world), out=tmp_path/'eval')
    odise_eval(gt=world/'panoptic.json', gt_dir=world/'panoptic', pred=tmp_path/'eval'/'panoptic.json', pred_dir=tmp_path/'eval'/'panoptic', out=tmp_path/'pq.json')
    live = pd.read_csv(tmp_path/'eval'/'report.csv', index_col=['classifier', 'names']).pq['fused', 'all']
    assert live > 1 and abs(100*json.loads((tmp_path/'pq.json').read_text())['pq'] - live) < 1e-2


def test_scenes_in_a_row_keep_nine_tenths_of_their_quality():
    "Pictures several windows wide: the head that is shipped, sixty scenes of val alone and in rows; without strips it would not do."
    from odise.metrics import PanopticQuality
    from odise.recipe import load_model
    from odise.world import in_a_row, scene
    model, scenes = load_model('label'), [scene('val', i) for i in range(60)]
    words = model.read(CATEGORIES)

    def pq(wide):
        quality = PanopticQuality(CATEGORIES)
        for i in range(0, len(scenes), wide):
            s = in_a_row(scenes[i:i + wide])
            r = model.segment(s.image, words)
            quality.update(s.panoptic, s.segments_info, r.panoptic, r.segments_info)
        return quality.compute()['all']['pq']

    one, kept = pq(1), [pq(wide) for wide in (2, 4, 6)]
    assert min(kept) >= 0.9*one, (one, kept)
    model.reach = None
    assert pq(6) < 0.9*one
