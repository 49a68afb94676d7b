"On a GPU the kit does what it does on a CPU; these tests need one and are skipped elsewhere."
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch

from odise.recipe import MICRO, best_device, build, load_model
from odise.train import fit, remember

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device here')
WORDS = 'ladybug; apple; sunflower; helicopter; sand; grass'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    from odise.data import PanopticDataset
    from odise.world import write_split
    dataset = PanopticDataset(write_split(tmp_path_factory.mktemp('world'), 'train', 12, progress=False))
    dataset.restrict([c for c in dataset.categories if c['seen']])
    return dataset

@pytest.fixture(autouse=True)
def exact_convolutions():
    "Convolutions in full precision: without cuDNN, which rounds their inputs to 10 bits unless it is told not to. Outside these tests it is on, as it comes."
    with torch.backends.cudnn.flags(enabled=False, allow_tf32=False): yield

def fresh(scenes, device, recipe=MICRO):
    torch.manual_seed(0)
    return build(recipe, scenes.categories).to(device)

def losses(scenes, path, device, recipe=MICRO, steps=3, **options):
    model = fresh(scenes, device, recipe)
    told = asdict(recipe.training) | dict(steps=steps, batch=4, canvases=(1, 2)) | options
    return torch.tensor([row['loss'] for row in fit(model, remember(model, scenes), path, **told)]), model


@pytest.mark.parametrize('kind', ['label', 'caption'])
@pytest.mark.parametrize('wide', [1, 4])
def test_the_same_segments(kind, wide):
    "From a picture in main memory, high or in a row of four (drawn in strips), to ids in main memory."
    import odise.results
    from odise.world import scene
    picture = torch.cat([torch.from_numpy(scene('val', i).image) for i in range(wide)], 1).numpy()
    cpu, gpu = load_model(kind), load_model(kind).to(best_device())
    a, b = cpu.segment(picture, WORDS), gpu.segment(picture, WORDS)
    assert b.probs.is_cuda and not b.panoptic.is_cuda and best_device().type == 'cuda'
    torch.testing.assert_close(b.look.mask_embed.cpu(), a.look.mask_embed, rtol=1e-2, atol=1e-3)
    assert (a.panoptic > 0).eq(b.panoptic > 0).float().mean() > 0.99
    assert [s['name'] for s in a.segments_info] == [s['name'] for s in b.segments_info]
    assert len(b.to_frame()) == len(b.segments_info) and len(b.instances['scores']) and b.semantic.shape == b.panoptic.shape
    b.show()


@pytest.mark.parametrize('supervision', ['label', 'caption', 'both'])
def test_the_same_losses(scenes, tmp_path, supervision):
    a, b = (losses(scenes, tmp_path/f'{d}.safetensors', d, supervision=supervision, recipe=replace(MICRO, supervision=supervision))[0] for d in ('cpu', 'cuda'))
    torch.testing.assert_close(b[0], a[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(b, a, rtol=1e-2, atol=0)   # a step of Muon's is as long for a small gradient as for a large one

@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_half_precision_is_near(scenes, tmp_path, precision):
    a, b = (losses(scenes, tmp_path/f'{p}.safetensors', 'cuda', precision=p)[0] for p in ('fp32', precision))
    torch.testing.assert_close(b[0], a[0], rtol=0.02, atol=0)
    assert b.isfinite().all() and len(b) == 3   # fp16 leaves out the steps whose gradients overflowed, so the runs part here

def test_a_stopped_run_goes_on(scenes, tmp_path):
    "Atomic sums on a GPU come in any order: equal to rounding, not to the bit."
    whole, _ = losses(scenes, tmp_path/'whole.safetensors', 'cuda', steps=6)
    model, path = fresh(scenes, 'cuda'), tmp_path/'stopped.safetensors'
    memory, told = remember(model, scenes), asdict(MICRO.training) | dict(steps=6, batch=4, canvases=(1, 2), every=0.)
    run = fit(model, memory, path, **told)
    for _ in range(3): next(run)
    run.close()
    rest = torch.tensor([row['loss'] for row in fit(fresh(scenes, 'cuda'), memory, path, **told)])
    torch.testing.assert_close(rest, whole[-len(rest):], rtol=1e-2, atol=0)
    assert 3 <= len(rest) < 6

def test_random_points_and_jittered_pictures(scenes, tmp_path):
    from odise.live import Live
    runs = []
    for device in ('cpu', 'cuda'):
        model = fresh(scenes, device)
        told = asdict(MICRO.training) | dict(steps=2, batch=2, augment='light', dense=False, n_points=256, captioner_steps=None)
        runs.append(torch.tensor([row['loss'] for row in fit(model, Live(model, scenes, 'light', 0), tmp_path/f'{device}.safetensors', **told)]))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-2, atol=0)

def test_words_follow_their_model():
    "A string that was asked for on the processor, and one that was not."
    clip = load_model('label').clip
    clip.embed_text('dog')
    assert clip.cuda().embed_text(['dog', 'a dog that nobody asked for']).is_cuda

def test_whole_models_behind_any_eye(tmp_path):
    from odise.grids import Probe
    from odise.whole import WHOLE, run_whole
    sizes, short = dict(train=6, val=4, shift=4), replace(WHOLE, training=replace(WHOLE.training, steps=2))
    for eye in ('text-to-image U-Net', 'VAE only', 'CLIP tower', 'masked autoencoder'):
        rows = list(run_whole('backbones', Probe(sizes | dict(dev=4), tmp_path), tmp_path/'eyes-whole.csv', range(1), tmp_path, [eye], short, sizes, best_device()))
        assert {r['device'] for r in rows} == {torch.cuda.get_device_name()} and len(rows) == 2

def test_a_recorded_pass_makes_the_same_losses(scenes, tmp_path):
    "Forward and backward pass as CUDA graphs, against operations launched one by one; looking is not recorded."
    from odise.captioner import EmptyCaptioner
    from odise.backbones import DiffusionBackbone
    from odise.recipe import giants
    from odise.whole import WHOLE, capture
    ldm, clip = giants(WHOLE.eye)
    runs, told = [], asdict(WHOLE.training) | dict(steps=4)
    for recorded in (False, True):
        eye = DiffusionBackbone(ldm, clip, EmptyCaptioner(ldm.empty), MICRO.eye.vae_taps, MICRO.eye.unet_taps, freeze_captioner=True)
        torch.manual_seed(0)
        model = build(WHOLE, scenes.categories, ldm, clip, eye=eye).cuda()
        memory = remember(model, scenes, captions=False)
        if recorded: capture(model, memory, WHOLE.training.batch)
        runs.append(torch.tensor([[row['loss'], row['grad_norm']] for row in fit(model, memory, tmp_path/f'{recorded}.safetensors', **told)]))
        look = model.look(scenes[0].image)
        assert look.pred_masks.isfinite().all()
    torch.testing.assert_close(runs[1][0], runs[0][0], rtol=1e-4, atol=0)
    torch.testing.assert_close(runs[1], runs[0], rtol=2e-2, atol=0)
    assert len({round(x, 3) for x in runs[1][:, 0].tolist()}) == 4   # it learns: no step repeats another

def test_the_commands(tmp_path, capsys):
    "Learn, choose shares, evaluate and segment: all on the GPU, none is told to."
    from PIL import Image
    from odise.cli import odise_eval, odise_segment, odise_train
    from odise.world import scene, write_split
    few = write_split(tmp_path/'val', 'val', 6, progress=False)
    odise_train(out=tmp_path/'run', data='train', n=12, heard_n=12, steps=4, batch=2, eval_every=4, eval_on=str(few), choose=str(few))
    assert {'model.safetensors', 'losses.csv', 'eval.csv', 'fusion.csv'} <= {p.name for p in (tmp_path/'run').iterdir()}
    odise_eval(model=str(tmp_path/'run'), data=str(few), out=tmp_path/'eval')
    assert len(pd.read_csv(tmp_path/'eval'/'report.csv'))
    Image.fromarray(scene('val', 4).image).save(tmp_path/'picture.png')
    odise_segment(image=str(tmp_path/'picture.png'), names=WORDS, out=tmp_path/'segment')
    assert (tmp_path/'segment'/'panoptic.json').exists()
