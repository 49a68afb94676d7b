"Scores against the referees' own programs, across processes, and from the command line."
import io
import json
import multiprocessing
import os
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from odise.coco import mask_of
from odise.data import PanopticDataset, PanopticWriter
from odise.metrics import PanopticQuality, confusion, mean_iou, pq_from_files
from odise.precision import MaskAP, mask_ap

REAL = Path(os.environ.get('ODISE_REAL') or Path(__file__).parents[2]/'shared'/'real')
real = pytest.mark.skipif(not (REAL/'coco').is_dir(), reason=f'{REAL}/coco is not there: set ODISE_REAL to a folder with coco/')
CATEGORIES = [dict(id=i, name=f'class {i}', isthing=int(i < 4), color=[i, i, i]) for i in range(1, 7)]


def random_pair(rng, size=(40, 50)):
    "A truth with void and crowds, and a prediction that is mostly right."
    def one(crowds):
        ids, info = np.zeros(size, dtype=np.int32), []
        for i in (rng.choice(2**24 - 1, 12, replace=False) + 1).tolist():
            y, x, h, w = [*rng.integers(0, 30, 2), *rng.integers(4, 22, 2)]
            ids[y:y + h, x:x + w] = i
            info.append(dict(id=i, category_id=int(rng.integers(1, 7)), iscrowd=int(rng.random() < crowds)))
        return ids, info
    (truth, told), (other, guessed) = one(0.3), one(0)
    guess = np.where(rng.random(size) < 0.95, np.roll(truth, 1, 1), other)
    here = lambda ids, info: [s for s in info if (ids == s['id']).any()]
    return truth, here(truth, told), guess, here(guess, [dict(s, iscrowd=0) for s in told] + guessed)

@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    "Thirty random images as files."
    box, rng = tmp_path_factory.mktemp('pq'), np.random.default_rng(0)
    with PanopticWriter(box/'gt', CATEGORIES) as gt, PanopticWriter(box/'pred', CATEGORIES) as pred:
        for i in range(30):
            truth, told, guess, guessed = random_pair(rng)
            gt.add(i, f'{i}.jpg', truth, told)
            pred.add(i, f'{i}.jpg', guess, guessed)
    return box

def files(box): return box/'gt'/'panoptic.json', box/'gt'/'panoptic', box/'pred'/'panoptic.json', box/'pred'/'panoptic'


def test_pq_equals_panopticapi(folders):
    evaluation = pytest.importorskip('panopticapi.evaluation', reason="panopticapi is not installed: pip install 'odise[panopticapi]'")
    gt, gt_dir, pred, pred_dir = files(folders)
    with redirect_stdout(io.StringIO()): theirs = evaluation.pq_compute(str(gt), str(pred), str(gt_dir), str(pred_dir))
    ours = pq_from_files(gt, gt_dir, pred, pred_dir).report()
    apart = [abs(ours[k] - theirs['All'][k]) for k in ('pq', 'sq', 'rq', 'n')]
    apart += [abs(ours[g.lower()][k] - theirs[g][k]) for g in ('Things', 'Stuff') for k in ('pq', 'sq', 'rq', 'n')]
    apart += [abs(ours['per_class'][str(i)][k] - v) for i,row in theirs['per_class'].items() for k,v in row.items()]
    assert max(apart) < 1e-9 and len(apart) == 12 + 18
    print('largest difference to panopticapi:', max(apart))


def count(jobs):
    "What one process of several does."
    quality, pixels, ap = PanopticQuality(CATEGORIES), 0, MaskAP(CATEGORIES)
    for seed in jobs:
        truth, told, guess, guessed = random_pair(np.random.default_rng(seed))
        quality.update(truth, told, guess, guessed)
        pixels = pixels + confusion(guess % 6, truth % 6, 6)
        ap.update(*(dict(masks=[m == s['id'] for s in info], labels=[s['category_id'] - 1 for s in info], scores=[(s['id'] % 97)/97 for s in info]) for m,info in ((truth, told), (guess, guessed))))
    return quality, pixels, ap

def test_processes_add_up():
    with multiprocessing.get_context('spawn').Pool(2) as pool: (q, c, a), (other_q, other_c, other_a) = pool.map(count, [range(3), range(3, 7)])
    quality, pixels, ap = count(range(7))
    assert q.merge(other_q).counts == pytest.approx(quality.counts, abs=1e-12)
    assert (c + other_c == pixels).all() and mean_iou(c + other_c)['all'] == mean_iou(pixels)['all']
    assert a.merge(other_a).compute()['all'] == ap.compute()['all'] > 0


def test_the_command_writes_fractions_at_full_precision(folders, tmp_path, capsys):
    from odise.cli import odise_eval
    gt, gt_dir, pred, pred_dir = files(folders)
    odise_eval(gt=gt, gt_dir=gt_dir, pred=pred, pred_dir=pred_dir, out=tmp_path/'pq.json')
    table, quality = json.loads((tmp_path/'pq.json').read_text()), pq_from_files(gt, gt_dir, pred, pred_dir)
    assert table == quality.report() and list(table) == ['pq', 'sq', 'rq', 'n', 'things', 'stuff', 'per_class']
    assert 0 < table['pq'] < 1 and table['pq'] == quality.compute()['all']['pq'] and table['n'] == 6 and table['things']['n'] == 3
    assert f"PQ {100*table['pq']:.2f}" in capsys.readouterr().out


def test_a_set_of_stuff_only_is_valid_json(tmp_path):
    ids = np.ones((8, 8), dtype=int)
    quality = PanopticQuality([dict(id=1, name='sky', isthing=0), dict(id=2, name='dog', isthing=1)])
    report = quality.update(ids, [dict(id=1, category_id=1)], ids, [dict(id=1, category_id=1)]).report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report['pq'] == report['stuff']['pq'] == 1 and report['things'] == dict(pq=None, sq=None, rq=None, n=0)
    assert report['per_class']['2'] == dict(name='dog', pq=0, sq=0, rq=0, tp=0, fp=0, fn=0)


@real
def test_ap_equals_pycocotools_on_coco(tmp_path):
    "Masks shrunk and scored, judged once by `MaskAP` and once by pycocotools on its own files."
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    dataset, rng, rows, pairs = PanopticDataset(REAL/'coco'), np.random.default_rng(0), [], []
    for i,record in enumerate(dataset.records):
        truth = dataset.instances(i)
        shifted = [np.roll(m, int(rng.integers(0, 9)), 1) for m in truth['masks']]
        guess = dict(masks=shifted, labels=truth['labels'], scores=rng.random(len(shifted)).tolist())
        pairs.append((truth, guess))
        rows += [dict(image_id=record['id'], category_id=dataset.categories[k]['id'], score=s, segmentation=mask.encode(np.asfortranarray(m.astype(np.uint8))))
                 for m,k,s in zip(shifted, truth['labels'], guess['scores'])]
    with redirect_stdout(io.StringIO()):
        gt = COCO(str(REAL/'coco'/'instances.json'))
        judge = COCOeval(gt, gt.loadRes(rows), 'segm')
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    ours = mask_ap(pairs, dataset.categories)
    assert [ours['all'], ours['ap50'], ours['ap75']] == pytest.approx(judge.stats[:3].tolist(), abs=1e-12)
    assert 0.2 < ours['all'] < 1


@real
def test_coco_from_folder_zip_and_instances(tmp_path):
    "The published layout, unpacked or zipped, gives the same samples; the semantic map agrees with the masks; the set has no fault."
    import zipfile
    from odise.data import coco_parts
    from odise.validate import validate
    coco, zips = REAL/'coco', tmp_path/'annotations'
    zips.mkdir()
    for part,name in (('images', tmp_path/'val2017.zip'), ('panoptic', zips/'panoptic_val2017.zip')):
        with zipfile.ZipFile(name, 'w') as z:
            for file in (coco/part).iterdir(): z.write(file, f'{name.stem}/{file.name}')
    for part in ('panoptic', 'instances'): (zips/f'{part}_val2017.json').write_bytes((coco/f'{part}.json').read_bytes())
    spoken = [dict(image_id=r['id'], caption=f'picture {r["id"]}') for r in json.loads((coco/'panoptic.json').read_text())['images']]
    (zips/'captions_val2017.json').write_text(json.dumps(dict(images=[], annotations=spoken)))
    plain, zipped = PanopticDataset(coco), PanopticDataset(**coco_parts(tmp_path, 'val2017'))
    assert len(plain) == len(zipped) == 2 and len(plain.categories) == 133 and sum(plain.isthing) == 80
    for i,(a, b) in enumerate(zip(plain, zipped)):
        assert (a.image == b.image).all() and (a.panoptic == b.panoptic).all() and b.captions == [f'picture {a.image_id}']
        semantic = plain.semantic(a, void=255)
        for m,k in zip(a.masks, a.labels): assert (semantic[m.numpy()] == int(k)).all()
        assert ((semantic == 255) == (a.panoptic.numpy() == 0)).all()
        assert zipped.instances(i)['masks'].shape[1:] == semantic.shape and zipped.instances(i)['masks'].any((1, 2)).all()
    assert [r for r in validate(zipped, progress=False) if r['refused'] or r['kind'] not in ('crowd',)] == []
