"A result handed to the libraries that read it; `supervision` itself where it is installed, a stand-in with FiftyOne's fields."
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from odise import results
from odise.model import Look, Result
from odise.results import pieces
from odise.text import Vocabulary

H, W = 6, 8


@pytest.fixture
def result():
    "Two cups that touch, grass below, a third query that won no pixel."
    vocabulary = Vocabulary(names=(('cup', 'mug'), ('grass',), ('spoon',)), isthing=(True, False, True), seen=(True, True, False), ids=(47, 193, 50))
    panoptic = torch.zeros(H, W, dtype=torch.int32)
    panoptic[1:4, 1:3], panoptic[1:4, 3:8], panoptic[4:] = 1, 2, 3
    masks = torch.stack([panoptic == 1, panoptic == 2, panoptic == 3, torch.zeros(H, W, dtype=torch.bool)])*20. - 10
    probs = torch.tensor([[.9, .0, .05, .05], [.6, .0, .3, .1], [.0, .8, .0, .2], [.0, .0, .7, .3]])
    info = [dict(id=i, category=k, category_id=vocabulary.ids[k], name=vocabulary.labels[k], isthing=vocabulary.isthing[k], score=s, area=int((panoptic == i).sum()))
            for i,k,s in ((1, 0, .9), (2, 0, .6), (3, 1, .8))]
    look = Look(torch.zeros(3, H, W, dtype=torch.uint8), masks, torch.zeros(4, 2), torch.zeros(4, 2), None, (H, W), (H, W))
    return Result(look, vocabulary, probs, masks, panoptic, info)


def test_pieces_of_both_kinds(result):
    p, q = pieces(result), pieces(result, 'instances')
    assert p['boxes'].tolist() == [[1, 1, 3, 4], [3, 1, 8, 4], [0, 4, 8, 6]] and p['classes'].tolist() == [0, 0, 1]
    assert q['masks'].any((1, 2)).all() and set(q['classes'].tolist()) == {0, 2}       # things only, none without a pixel
    assert (np.diff(q['scores']) <= 0).all() and q['scores'][0] == pytest.approx(.9, abs=1e-3)


def test_coco_reads_the_run_lengths(result, tmp_path):
    "pycocotools takes the list as detections and finds each of its own masks again: AP 1."
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    found = [r for r in json.loads(json.dumps(result.to_rle(7, 'panoptic'))) if r['category_id'] == 47]
    truth = COCO()
    truth.dataset = dict(images=[dict(id=7, height=H, width=W)], categories=[dict(id=47, name='cup')], annotations=[dict(r, id=i, iscrowd=0) for i,r in enumerate(found, 1)])
    truth.createIndex()
    judge = COCOeval(truth, truth.loadRes(found), 'segm')
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1) and [r['bbox'] for r in found] == [[1, 1, 2, 3], [3, 1, 5, 3]]


def test_a_saved_result_scores_against_itself(result, tmp_path):
    from odise.metrics import pq_from_files
    out = result.save_coco(tmp_path/'out', 7, 'a.jpg')
    quality = pq_from_files(out/'panoptic.json', out/'panoptic', out/'panoptic.json', out/'panoptic').compute()
    assert quality['all']['pq'] == 1 and quality['all']['n'] == 2
    assert len(json.loads((out/'instances.json').read_text())) == len(pieces(result, 'instances')['scores'])


@pytest.mark.parametrize('kind', ['panoptic', 'instances'])
def test_supervision(result, kind):
    sv = pytest.importorskip('supervision', reason='supervision is not installed')
    found, p = result.to_supervision(kind), pieces(result, kind)
    assert isinstance(found, sv.Detections) and len(found) == len(p['scores']) and (found.mask == p['masks']).all()
    assert found.area.tolist() == p['masks'].sum((1, 2)).tolist()
    assert (sv.mask_to_xyxy(p['masks']) + [0, 0, 1, 1] == found.xyxy).all()            # supervision's far edge is the last pixel, ours the one after
    assert list(found['class_name']) == [result.vocabulary.labels[k] for k in found.class_id]
    grass = found[found['class_name'] == 'grass']
    assert len(grass) == (kind == 'panoptic')
    empty = Result(result.look, result.vocabulary, result.probs, result.masks, torch.zeros_like(result.panoptic), [])
    assert len(empty.to_supervision()) == 0


def test_fiftyone_gets_its_fields(result, monkeypatch):
    made = SimpleNamespace(Detection=lambda **kw: SimpleNamespace(**kw), Detections=lambda **kw: SimpleNamespace(**kw))
    monkeypatch.setitem(sys.modules, 'fiftyone', made)
    first, second, third = result.to_fiftyone().detections
    assert (first.label, first.confidence) == ('cup', .9) and second.bounding_box == [3/8, 1/6, 5/8, 3/6]
    assert first.mask.shape == (3, 2) and third.mask.shape == (2, 8) and third.mask.all()


@pytest.mark.parametrize('module, method', [('supervision', 'to_supervision'), ('fiftyone', 'to_fiftyone')])
def test_a_guest_that_is_not_there(result, monkeypatch, module, method):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'odise\[{module}\]'"): getattr(result, method)()


def test_results_have_their_ways_out_as_soon_as_the_model_is_there():
    "`odise.ODISE` is what users take; the methods come with it."
    import subprocess
    done = subprocess.run([sys.executable, '-c', 'from odise import ODISE; from odise.model import Result; print(all(hasattr(Result, n) for n in ("to_frame", "to_rle", "save_coco", "to_supervision", "to_fiftyone")))'],
                          capture_output=True, text=True)
    assert done.stdout.strip() == 'True', done.stderr


def test_extras_are_declared():
    from configparser import ConfigParser
    from pathlib import Path
    ini = ConfigParser(delimiters=['='])
    ini.read(Path(__file__).parents[1]/'settings.ini', encoding='utf-8')
    assert {'supervision', 'fiftyone'} <= set(ini['DEFAULT']['extras'].split())
