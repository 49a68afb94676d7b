"Panoptic quality against the referee's own numbers."
import json
from pathlib import Path

from odise.metrics import pq_from_files

def check(folder:Path)->dict:
    "Largest difference of each score; raises beyond the tolerance in README.json."
    folder = Path(folder)
    tolerance = float(json.loads((folder/'README.json').read_text())['tolerance'])
    expected = json.loads((folder/'result.json').read_text())
    metric = pq_from_files(folder/'gt.json', folder/'gt', folder/'pred.json', folder/'pred')
    means, scores = metric.compute(), metric.per_class()
    errors = {}
    for name, row in expected.items():
        if name == 'per_class': continue
        got = means[name.lower()]
        errors[name] = float(max(abs(got[k] - v) for k,v in row.items()))
    for k in ('pq', 'sq', 'rq'):
        errors[f"per_class {k}"] = float(max(abs(scores[k][metric.class_of[int(i)]] - row[k]) for i,row in expected["per_class"].items()))
    wrong = {name: e for name, e in errors.items() if not e <= tolerance}
    if wrong: raise AssertionError(f'{folder.name}: beyond {tolerance}: {wrong}')
    return errors
