"Rows of the feature probes: whole, of the weights that lie here, and the same when made twice on any latent diffusion model."
import pandas as pd
import pytest
import torch

from odise.files import digest
from odise.ldm import block_inputs, published_taps, toy_ldm
from odise.names import NAMES, data_path
from odise.probes import SIZES, tap_rows

KEY = ['network', 'tap', 'timestep', 'seed', 'split']
MEASURES = ['top1_seen', 'miou_seen', 'miou_things', 'miou_stuff', 'miou_novel']


@pytest.fixture(scope='module')
def ldm(): return toy_ldm()

def rows_of(ldm, seeds):
    text = torch.randn(len(NAMES), 16, generator=torch.Generator().manual_seed(0))
    return pd.DataFrame(tap_rows(ldm, text, seeds=seeds, timesteps=(0,), sizes=dict(train=4, dev=2, val=3)))


def test_the_table_is_whole():
    rows = pd.read_csv(data_path('results', 'probes.csv'))
    assert not rows.duplicated(KEY).any()
    assert len(rows) == rows.groupby(['network', 'tap', 'timestep'], dropna=False).ngroups*rows.seed.nunique()*rows.split.nunique()
    assert rows.seed.nunique() >= 3 and set(rows.split) == {'dev', 'val'}
    assert set(rows.scenes) == {SIZES['train']}
    assert rows[MEASURES].notna().all(axis=None) and rows[MEASURES].stack().between(0, 100).all()
    assert set(rows.weights) == {digest(data_path('micro', 'ldm'), data_path('micro', 'clip'))}


def test_every_tap_of_any_model(ldm):
    rows = rows_of(ldm, seeds=(0,))
    unet = {name for name,_,_ in block_inputs(ldm) if name.startswith('unet.')}
    vae = {name for name,_,_ in published_taps(ldm) if name.startswith('vae.')}
    assert set(rows[rows.network == 'random'].tap) == unet
    assert set(rows[rows.network == 'grown'].tap) == unet | vae | {'picture'}
    assert set(rows[rows.odise].tap) == {name for name,_,_ in published_taps(ldm)}


def test_a_seed_is_a_slice_of_train(ldm):
    both = rows_of(ldm, seeds=(0, 1)).set_index(KEY)[MEASURES]
    one = rows_of(ldm, seeds=(1,)).set_index(KEY)[MEASURES]
    again = both.loc[both.index.get_level_values('seed') == 1]
    pd.testing.assert_frame_equal(again.sort_index(), one.sort_index(), rtol=1e-6)
    assert not both.loc[both.index.get_level_values('seed') == 0].reset_index(drop=True).equals(one.reset_index(drop=True))
