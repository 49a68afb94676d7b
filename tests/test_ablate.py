"A grid that breaks goes on where it was; rows of different weights never stand in one table unseen."
import numpy as np
import pandas as pd
import pytest

from odise.ablate import left_to_do, pack, run_grid, same_hash, unpack
from odise.world import data_path

KEY = ['variant', 'seed', 'split']


def facts(weights): return {name: dict(weights=weights, recipe='h0+' + name, command='here') for name in ('a', 'b', 'c')}

def prepare_of(broken=None, log=None):
    "Rows that depend on variant and seed only; `broken` is a (variant, seed) at which the power fails."
    def prepare(name):
        def measure(seed):
            if (name, seed) == broken: raise KeyboardInterrupt
            if log is not None: log.append((name, seed))
            for split in ('val', 'shift'): yield dict(split=split, top1_seen=ord(name) + seed/7, top1_novel=1., hits=pack([[seed, 1], [2, 0]]))
        return measure
    return prepare


@pytest.mark.parametrize('broken', [('a', 0), ('a', 2), ('b', 1), ('c', 2)])
def test_a_broken_grid_goes_on_and_ends_as_if_unbroken(tmp_path, broken):
    whole, parts, log = tmp_path/'whole.csv', tmp_path/'parts.csv', []
    list(run_grid(whole, facts('h1'), range(3), prepare_of()))
    with pytest.raises(KeyboardInterrupt): list(run_grid(parts, facts('h1'), range(3), prepare_of(broken, log)))
    if parts.exists(): assert (pd.read_csv(parts).groupby(['variant', 'seed']).size() == 2).all()   # never half a seed
    list(run_grid(parts, facts('h1'), range(3), prepare_of(log=log)))
    assert len(log) == len(set(log)) == 9                                                           # nothing was made twice
    pd.testing.assert_frame_equal(pd.read_csv(whole), pd.read_csv(parts))


def test_new_weights_make_every_row_anew_and_a_mixed_table_is_refused(tmp_path):
    path = tmp_path/'grid.csv'
    list(run_grid(path, facts('h1'), range(3), prepare_of()))
    assert left_to_do(path, facts('h1'), range(3)) == {} and left_to_do(path, facts('h1'), range(4)) == {n: [3] for n in 'abc'}
    assert left_to_do(path, facts('h2'), range(3)) == {n: [0, 1, 2] for n in 'abc'}
    with pytest.raises(KeyboardInterrupt): list(run_grid(path, facts('h2'), range(3), prepare_of(('b', 1))))
    with pytest.raises(ValueError, match='2 different weights'): same_hash(pd.read_csv(path))
    list(run_grid(path, facts('h2'), range(3), prepare_of()))
    rows = same_hash(pd.read_csv(path))
    assert len(rows) == 18 and not rows.duplicated(KEY).any()


def test_a_hash_that_looks_like_a_number_stays_what_it_is(tmp_path):
    path, odd = tmp_path/'grid.csv', {'a': dict(weights='h12e4567890', recipe='h0000000001+h1', command='')}
    list(run_grid(path, odd, range(1), prepare_of()))
    assert left_to_do(path, odd, range(1)) == {}


def test_hits_survive_the_table():
    hits = np.random.default_rng(0).integers(0, 9, (500, 2))
    assert (unpack(pack(hits)) == hits).all() and len(pack(hits)) < 700


def test_whole_heads_are_counted_before_they_are_trained(tmp_path, capsys):
    from odise.cli import odise_ablate
    odise_ablate('oracle', out=tmp_path, seeds=2, dry=True)
    assert 'oracle: 4 heads to measure' in capsys.readouterr().out   # label and caption, two seeds each
    assert not [*tmp_path.rglob('*.csv')]


def fill(path, log):
    "One of several processes; says which seeds it made."
    import time
    def prepare(name):
        def measure(seed):
            with open(log, 'a') as file: file.write(f'{name} {seed}\n')
            time.sleep(0.05)
            for split in ('val', 'shift'): yield dict(split=split, top1_seen=ord(name) + seed/7, top1_novel=1., hits=pack([[seed, 1], [2, 0]]))
        return measure
    list(run_grid(path, facts('h1'), range(6), prepare))

def test_processes_share_a_table(tmp_path):
    "Three at once: every seed is made once, no row is lost, and the table is the one that a single process makes."
    from multiprocessing import get_context
    alone, shared, log = tmp_path/'alone.csv', tmp_path/'shared.csv', tmp_path/'log'
    list(run_grid(alone, facts('h1'), range(6), prepare_of()))
    processes = [get_context('spawn').Process(target=fill, args=(shared, log)) for _ in range(3)]
    for p in processes: p.start()
    for p in processes: p.join()
    assert [p.exitcode for p in processes] == [0]*3
    made = log.read_text().split('\n')[:-1]
    assert len(made) == len(set(made)) == 18
    pd.testing.assert_frame_equal(pd.read_csv(alone), pd.read_csv(shared))


@pytest.mark.parametrize('name', ['backbones', 'captioners', 'timesteps', 'fusion', 'supervision', 'oracle'])
def test_every_table_answers_the_same_questions(name):
    "Whoever reads one table of an ablation can read them all: what was measured, how, of which weights, and by which command it is made again."
    rows = pd.read_csv(data_path('results', f'{name}.csv'))
    assert {'variant', 'seed', 'measure', 'steps', 'pq', 'pq_seen', 'pq_novel', 'top1_seen', 'top1_novel', 'seconds', 'weights', 'recipe', 'command'} <= {*rows}
    probe, whole = (rows[rows.measure == m] for m in ('probe', 'pq'))
    assert len(probe) + len(whole) == len(rows) > 0
    assert probe[['top1_seen', 'top1_novel']].notna().all(axis=None) and whole[['pq', 'pq_seen', 'pq_novel']].notna().all(axis=None)
    assert rows[['variant', 'seed', 'steps', 'seconds', 'weights', 'recipe', 'command']].notna().all(axis=None)
