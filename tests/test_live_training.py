"Pictures that are jittered in every step: the published recipe by its command at toy size, an exact resume, and what cannot be trained together."
import json

import pytest

from odise.cli import odise_train
from odise.files import read_tensors

FULL_SHAPED = dict(   # Stable Diffusion's four levels, hardly any channels
    vae=dict(block_out_channels=(8, 8, 16, 16), layers_per_block=2, latent_channels=4, norm_num_groups=4, sample_size=64,
             down_block_types=('DownEncoderBlock2D',)*4, up_block_types=('UpDecoderBlock2D',)*4),
    unet=dict(block_out_channels=(8, 16, 16, 16), layers_per_block=2, norm_num_groups=4, sample_size=8, cross_attention_dim=16, attention_head_dim=4,
              down_block_types=(*('CrossAttnDownBlock2D',)*3, 'DownBlock2D'), up_block_types=('UpBlock2D', *('CrossAttnUpBlock2D',)*3)))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    from odise.world import write_split
    return str(write_split(tmp_path_factory.mktemp('scenes'), 'train', 6, progress=False))


def test_the_published_recipe_trains_through_the_same_command(scenes, tmp_path):
    "FULL's head, jitter, points, schedule and clip; giants of its shape and a canvas of 64 pixels; stopped after a step, gone on with."
    from odise.ldm import toy_ldm
    toy_ldm(tmp_path/'ldm', **FULL_SHAPED)
    command = dict(recipe='full-caption', data=scenes, ldm=str(tmp_path/'ldm'), clip='micro', short_side=64, queries=4, batch=2, accumulate=2, steps=2,
                   precision='bf16', out=tmp_path/'run')
    odise_train(**command, minutes=1e-9)
    odise_train(**command)
    recipe = json.loads((tmp_path/'run'/'config.json').read_text())['recipe']
    assert recipe['training']['augment'] == 'lsj' and recipe['head']['layers'] == 9 and recipe['training']['max_norm'] == 0.01
    rows = (tmp_path/'run'/'losses.csv').read_text().split()
    assert [r.split(',')[0] for r in rows] == ['step', '0', '1']
    tensors, meta = read_tensors(tmp_path/'run'/'checkpoint.safetensors')
    assert meta['step'] == 2 and all(t.isfinite().all() for t in tensors.values())


def test_jittered_run_goes_on_to_the_same_bits(scenes, tmp_path):
    "In half precision, so that the loss scale must be remembered, too."
    command = dict(data=scenes, supervision='both', augment='light', queries=6, batch=2, steps=2, precision='fp16', every=1e9)
    odise_train(**command, out=tmp_path/'whole')
    odise_train(**command, out=tmp_path/'broken', minutes=1e-9)
    odise_train(**command, out=tmp_path/'broken')
    for file in ('model.safetensors', 'checkpoint.safetensors', 'losses.csv'): assert (tmp_path/'whole'/file).read_bytes() == (tmp_path/'broken'/file).read_bytes(), file
    assert read_tensors(tmp_path/'whole'/'checkpoint.safetensors')[1]['scaler']['scale'] > 1


def test_a_run_written_before_there_were_newer_entries_goes_on():
    from odise.recipe import MICRO, asdict, replace
    from odise.train import same_run
    old = json.loads(json.dumps(asdict(MICRO)))
    for key in ('augment', 'precision', 'accumulate'): del old['training'][key]
    same_run('old.safetensors', dict(facts=old), asdict(MICRO))
    with pytest.raises(ValueError, match='training.precision was None, is bf16'):
        same_run('old.safetensors', dict(facts=old), asdict(replace(MICRO, training=replace(MICRO.training, precision='bf16'))))


@pytest.mark.parametrize('asked, says', [
    (dict(recipe='fulll'), '--recipe fulll: choose from full-caption, full-label'),
    (dict(recipe='full-label', supervision='caption'), 'leave --supervision out'),
    (dict(accumulate=0), '--accumulate 0'),
    (dict(eval_every=0), '--eval_every 0')])
def test_what_cannot_be_is_said_in_one_line(scenes, tmp_path, asked, says):
    with pytest.raises(SystemExit) as left: odise_train(out=tmp_path/'out', data=scenes, **dict(batch=2, steps=2) | asked)
    assert says in left.value.code and '\n' not in left.value.code
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('asked, says', [
    (dict(augment='lsj'), "augment='lsj' jitters pictures, and a memory has none"),
    (dict(precision='fp8'), "precision='fp8'"),
    (dict(accumulate=3), 'a batch of 2 canvases cannot be shared by 1 processes in 3 parts'),
    (dict(accumulate=2, dense=False), 'come from one stream for the whole batch')])
def test_what_cannot_be_trained_together_is_said_before_the_first_step(asked, says):
    from odise.train import Memory, check_fit
    memory = Memory({}, 1, (64, 64), [dict()]*4, [])
    options = dict(batch=2, canvases=(1,), dense=True, augment=None, captioner_steps=None, accumulate=1, precision='fp32', seed=0)
    check_fit(memory, **options)
    with pytest.raises(ValueError, match=says.replace('(', '.')): check_fit(memory, **options | asked)


@pytest.mark.parametrize('asked, heard', [({}, 6), (dict(heard='none'), None)])
def test_who_trains_on_the_world_hears_the_web_unless_told_otherwise(tmp_path, monkeypatch, asked, heard):
    from odise.world import write_split
    monkeypatch.setenv('ODISE_HOME', str(tmp_path/'home'))
    odise_train(out=tmp_path/'out', n=6, steps=2, batch=2, queries=6, captioner_steps=1, choose=str(write_split(tmp_path/'few', 'dev', 3, progress=False)), **asked)
    facts = json.loads((tmp_path/'out'/'config.json').read_text())['facts']
    assert facts['data'] == 'train' and facts['heard'] == heard and facts['chosen_on']
    assert [r['split'] for r in map(json.loads, (p.read_text() for p in (tmp_path/'home').rglob('split.json')))].count('web') == bool(heard)
