"An evaluation as a protocol: killed and resumed, refused under another one, bounded in memory, and the whole path on real pictures."
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from known import Known
from torch.utils._python_dispatch import TorchDispatchMode

from odise.data import PanopticDataset
from odise.protocol import Void, run_protocol, words_for

REAL = Path(os.environ.get('ODISE_REAL') or Path(__file__).parents[2]/'shared'/'real')
real = pytest.mark.skipif(not REAL.is_dir(), reason=f'{REAL} is not there: set ODISE_REAL to a folder with coco/, ade20k_150/ and labels/')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    from odise.world import write_split
    return write_split(tmp_path_factory.mktemp('scenes'), 'val', 40, progress=False)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes_and_looks_at_nothing_twice(scenes, tmp_path):
    whole, broken, kills = tmp_path/'whole', tmp_path/'home'/'broken', 3
    data = PanopticDataset(scenes)
    run_protocol(Known(data, shift=1), data, whole, batch=3)
    done = subprocess.run([sys.executable, Path(__file__).with_name('kill_protocol.py'), scenes, broken, str(kills)], capture_output=True, text=True,
                          env=os.environ | dict(OMP_NUM_THREADS='1'), cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    died_at = [int(line) for line in done.stdout.split()]
    looks = [[int(n) for n in (tmp_path/'home'/f'looks-{turn}.txt').read_text().split()] for turn in range(kills + 1)]
    assert len(died_at) == kills and sum(looks[-1]) == 40 - 3*died_at[-1] > 0             # what is finished is not looked at again
    for before, after, turn in zip([0, *died_at], died_at, looks): assert after - before <= len(turn) <= after - before + 1   # a kill costs one block at most
    names = sorted(p.name for p in (whole/'panoptic').iterdir())
    assert len(names) == 40 and sorted(p.name for p in (broken/'panoptic').iterdir()) == names   # no half-written file is left
    for file in ('report.csv', 'per_class.csv', 'panoptic.json', 'protocol.json', *(f'panoptic/{n}' for n in names)):
        assert (whole/file).read_bytes() == (broken/file).read_bytes(), file
    assert pd.read_csv(whole/'report.csv').pq.between(50, 99).any()                      # a shifted truth is neither perfect nor nothing


def test_another_question_is_refused_by_its_name(scenes, tmp_path):
    data, out = PanopticDataset(scenes), tmp_path/'out'
    model = Known(data)
    run_protocol(model, data, out)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    words = '; '.join(f'a {c["name"]}' for c in data.categories)
    def line(model, data, **options):
        with pytest.raises(ValueError) as said: run_protocol(model, data, out, **options)
        assert str(out/'protocol.json') in str(said.value) and '\n' not in str(said.value)
        return str(said.value)
    assert 'words.called was "data", is "own words"'.replace('"', '') in line(model, data, names=words)
    assert 'run.mode was fused, is clip' in line(model, data, mode='clip')
    assert 'protocol.oracle was none, is true masks' in line(model, data, oracle=('true masks', lambda sample, look: look))
    other = Known(data)
    with torch.no_grad(): other.text_head.text_proj.bias[0] += 1
    assert 'model.weights was sha256:' in line(other, data)
    other = Known(data)
    other.alpha = 0.5
    assert 'settings.alpha was 0.3, is 0.5' in line(other, data)
    assert 'data.truth was sha256:' in line(model, PanopticDataset(scenes).leave_out([data.records[0]['id']]))
    assert before == {p.name: p.stat().st_mtime_ns for p in out.iterdir()}


def test_background_may_be_a_class_or_void(tmp_path):
    "VOC's two protocols on one picture: what is predicted on void background is forgiven."
    from odise.data import PanopticWriter
    from odise.image import Image
    categories = [dict(id=0, name='background', isthing=0), dict(id=1, name='cat', isthing=1)]
    ids = np.ones((32, 32), int)
    ids[8:20, 8:20] = 2
    (tmp_path/'set'/'images').mkdir(parents=True)
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(tmp_path/'set'/'images'/'a.png')
    with PanopticWriter(tmp_path/'set', categories) as writer: writer.add(1, 'a.png', ids, [dict(id=1, category_id=0), dict(id=2, category_id=1)])
    with_class, without = PanopticDataset(tmp_path/'set'), Void(PanopticDataset(tmp_path/'set'))
    assert len(words_for(Known(with_class), without.categories)) == 1 and int((without[0].panoptic > 0).sum()) == 144
    tables = {}
    for name,data in dict(voc21=with_class, voc20=without).items():
        facts, _, scores = run_protocol(Known(data, shift=2), data, tmp_path/name)
        tables[name] = facts['protocol']['background'], scores['fused'].pixels, scores['fused'].quality.counts[-1, 0]
    assert tables['voc21'][0] == 'a class' and tables['voc20'][0] == 'void'
    assert tables['voc21'][1].sum() == 32*32 and tables['voc20'][1].sum() == 144
    assert [tables[n][2] for n in ('voc21', 'voc20')] == [120/168, 120/144]
    with pytest.raises(ValueError, match='no class called background'): Void(without)


class Largest(TorchDispatchMode):
    "Bytes of the largest tensors that operations made."
    def __init__(self): super().__init__(); self.made = []
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view: self.made += [o.numel()*o.element_size() for o in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(o, torch.Tensor)]
        return out


def test_847_names_on_a_megapixel_never_meet_in_one_tensor():
    from dataclasses import replace
    from odise.counts import Scores, judged
    from odise.data import Sample
    from odise.evaluate import weighed
    from odise.model import Look
    from odise.text import Vocabulary
    q, k, side = 20, 847, 1024
    categories = [dict(id=i, name=f'name {i}', isthing=int(i % 3 > 0)) for i in range(k)]
    vocabulary = replace(Vocabulary.read(categories), seen=(True,)*k)
    generator = torch.Generator().manual_seed(0)
    noise = lambda *size: torch.randn(size, generator=generator)
    look = Look(torch.zeros(3, side, side, dtype=torch.uint8), 5*noise(q, 16, 16).repeat_interleave(16, 1).repeat_interleave(16, 2), noise(q, k), noise(q, k), None, (side, side), (side, side))
    panoptic = torch.arange(1, 17).view(4, 4).repeat_interleave(side//4, 0).repeat_interleave(side//4, 1)
    sample = Sample(look.image, panoptic, [dict(id=i, category_id=i, isthing=i % 3 > 0) for i in range(1, 17)], None, None, [], 1, 'a.png')
    model = type('Fake', (), dict(thresholds={}, opinions=lambda self, look, v: (look.mask_embed[None], look.clip_embed[None], torch.zeros(1, q))))()
    tracemalloc.start()
    with Largest() as seen: row = next(judged(sample, weighed(model, look, vocabulary, [(0.3, 0.7, 'fused')]), dict(zip(vocabulary.ids, range(k)))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    masks = q*side*side*4
    assert max(seen.made) == masks and sum(n > 60*2**20 for n in seen.made) == 1         # the masks themselves, once; K·H·W would be 42 times as much
    assert peak < 100*2**20, f'{peak/2**20:.0f} MiB of numpy and Python'
    table = Scores(categories).add(row).table({})
    assert sum(n for *_,n in row['pixels']) == side*side and np.isfinite([table[0][c] for c in ('pq', 'miou', 'ap')]).all()


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    "The real pairs, as `odise_datasets prepare` makes them, and COCO's with its instances."
    from odise.cli import odise_datasets
    home = tmp_path_factory.mktemp('pairs')
    odise_datasets('prepare', 'coco_panoptic', REAL/'coco', home/'coco')
    odise_datasets('prepare', 'ade20k_semantic', REAL/'ade20k_150', home/'ade')
    return dict(coco=home/'coco', ade=home/'ade', coco_with_instances=REAL/'coco')


@real
@pytest.mark.parametrize('name', ['coco', 'ade', 'coco_with_instances'])
def test_truth_as_prediction_is_100_by_every_measure(pairs, name, tmp_path):
    data = PanopticDataset(pairs[name])
    facts, _, scores = run_protocol(Known(data), data, tmp_path/'out', modes=('fused',), batch=1)
    row = scores['fused'].table({})[0]
    assert [row[c] for c in ('pq', 'sq', 'rq', 'miou')] == [100]*4
    assert row['ap'] == pytest.approx(np.nan if name == 'ade' else 100, abs=1e-9, nan_ok=True)   # ADE20K's pair shows no thing
    assert facts['data']['pictures'] == scores['fused'].pictures == 2


@pytest.fixture(scope='module')
def micro():
    from odise.hub import ODISE
    return ODISE.from_pretrained('label')


@real
@pytest.mark.parametrize('name, labels', [('coco', None), ('ade', None), ('ade', 'ade20k_150.txt')])
def test_micro_sees_real_pairs_through_the_command(pairs, micro, name, labels, tmp_path, monkeypatch):
    from odise.cli import odise_eval
    monkeypatch.setattr('odise.hub.ODISE.from_pretrained', lambda _: micro)
    out, k = tmp_path/'out', dict(coco=133, ade=150)[name]
    odise_eval(data=str(pairs[name]), names=labels and str(REAL/'labels'/labels), out=out, batch=1)
    report, each, rows = (pd.read_csv(out/f'{table}.csv') for table in ('report', 'per_class', 'rows'))
    assert list(report) == ['classifier', 'names', 'pq', 'sq', 'rq', 'miou', 'ap'] and len(report) == len(rows) == 9 and len(each) == 3*k
    assert set(rows.vocabulary) == {labels or 'data'} and set(rows.pictures) == {2} and rows.seconds.min() > 0 and rows.weights[0].startswith('sha256:')
    assert rows.protocol[0].startswith(f'{k} classes, background none') and f'--data {pairs[name]}' in rows.command[0]
    table = json.loads((out/'panoptic.json').read_text())
    assert len(table['annotations']) == 2 and len(table['categories']) == k
    odise_eval(data=str(pairs[name]), names=labels and str(REAL/'labels'/labels), out=out, batch=1)   # all is there: the same rows, no second ones
    assert len(pd.read_csv(out/'rows.csv')) == 9
    with pytest.raises(SystemExit) as left: odise_eval(data=str(pairs[name]), names='dog; cat', out=out)
    assert f'2 names for the {k} classes' in left.value.code
