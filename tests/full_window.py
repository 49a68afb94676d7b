"""One 512×512 window through FULL with noise for weights, on one CPU thread: memory and CPU time of every part.

    python tests/full_window.py [data/results/full_window.csv]

Columns: part; gflop counted on the meta device; seconds of CPU; peak_gb, the largest resident memory (GiB) of the process during that part."""
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from odise.files import atomic
from odise.recipe import FULL, build, full_giants_of_noise, full_giants_on_meta, look_cost

COMMAND = 'python tests/full_window.py data/results/full_window.csv'


def peak_gb():
    "Peak since the last call (Linux keeps it and forgets it on request)."
    status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    Path('/proc/self/clear_refs').write_text('5')
    return int(status['VmHWM'].split()[0])/2**20

def step(rows, part, run):
    begun, out = time.process_time(), run()
    rows.append(dict(part=part, seconds=time.process_time() - begun, peak_gb=peak_gb()))
    return out

WINDOW = replace(FULL, images=replace(FULL.images, short_side=512))

def counted():
    "GFLOP of every part, without weights."
    with torch.device('meta'): model = build(WINDOW, 'dog; cat; grass', *full_giants_on_meta()).requires_grad_(False)
    return {row['part']: row['gflop'] for row in look_cost(model, torch.zeros(3, 512, 512, dtype=torch.uint8, device='meta'))[1]}

def measure():
    torch.set_num_threads(1)
    rows, _ = [], peak_gb()
    giants = step(rows, 'giants of noise', full_giants_of_noise)
    model = step(rows, 'what learns', lambda: build(WINDOW, 'dog; cat; grass', *giants)).requires_grad_(False)
    assert model.clip is model.backbone.clip is giants[1]
    image = torch.randint(256, (3, 512, 512), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    look, parts = look_cost(model, image, peak_gb=peak_gb)
    rows += parts
    result = step(rows, 'naming', lambda: model.name(look, 'dog; cat; grass; sky'))
    assert result.probs.shape == (100, 5) and result.panoptic.shape == (512, 512)
    assert all(t.isfinite().all() for t in (result.probs, result.masks, look.mask_embed, look.clip_embed))
    table = pd.DataFrame(rows)
    table.insert(1, 'gflop', table.part.map(counted()))
    return table.assign(threads=1, torch=torch.__version__, command=COMMAND)

if __name__ == '__main__':
    table = measure().round(dict(gflop=2, seconds=1, peak_gb=2))
    print(table.iloc[:, :4].to_string(index=False))
    if len(sys.argv) > 1:
        with atomic(sys.argv[1]) as part: table.to_csv(part, index=False)
