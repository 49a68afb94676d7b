"Real photographs go through the same commands (folder from `ODISE_REAL`, else ../shared/real; skipped where there is neither)."
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

REAL = Path(os.environ.get('ODISE_REAL') or Path(__file__).parents[2]/'shared'/'real')
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f'{REAL} is not there: set ODISE_REAL to a folder with coco/ and photos/')


@pytest.mark.parametrize('photo', ['coco.jpg', 'ade.jpg'])
def test_a_photograph_becomes_a_picture_and_a_coco_result(photo, tmp_path):
    from odise.cli import odise_segment
    odise_segment(str(REAL/'photos'/photo), 'person; grass; sky', out=tmp_path, short_side=96)
    table = json.loads((tmp_path/'panoptic.json').read_text())
    record, annotation = table['images'][0], table['annotations'][0]
    assert (record['width'], record['height']) == Image.open(REAL/'photos'/photo).size
    rgb = np.asarray(Image.open(tmp_path/'panoptic'/annotation['file_name']), dtype=int)
    ids = set(np.unique(rgb[..., 0] + 256*rgb[..., 1] + 256**2*rgb[..., 2])) - {0}
    assert ids == {s['id'] for s in annotation['segments_info']}
    assert (tmp_path/f'{Path(photo).stem}_panoptic.png').stat().st_size > 10_000


def scored(out, **files):
    from odise.cli import odise_eval
    odise_eval(**files, out=out)
    return 100*json.loads(out.read_text())['pq']


def test_truth_as_prediction_is_perfect(tmp_path):
    coco = REAL/'coco'
    assert scored(tmp_path/'pq.json', gt=coco/'panoptic.json', gt_dir=coco/'panoptic', pred=coco/'panoptic.json', pred_dir=coco/'panoptic') == 100


def test_training_on_coco_and_scoring_what_was_written_agree(tmp_path):
    "Two steps at 64 pixels, so the PQ is near nothing; that it is the same from memory and from disk also holds on the world below."
    from odise.cli import odise_eval, odise_train
    coco = REAL/'coco'
    odise_train(out=tmp_path/'model', data=str(coco), steps=2, batch=2, queries=10, short_side=64, captioner_steps=1)
    odise_eval(model=str(tmp_path/'model'), data=str(coco), out=tmp_path/'eval')
    pq = scored(tmp_path/'pq.json', gt=coco/'panoptic.json', gt_dir=coco/'panoptic', pred=tmp_path/'eval'/'panoptic.json', pred_dir=tmp_path/'eval'/'panoptic')
    table = pd.read_csv(tmp_path/'eval'/'report.csv', index_col=['classifier', 'names'])
    assert abs(pq - table.pq['fused', 'all']) < 1e-2
    assert len(json.loads((tmp_path/'eval'/'panoptic.json').read_text())['annotations']) == 2
