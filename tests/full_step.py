"""FULL on a GPU, with noise for weights: seconds and memory of a training step on canvases of 1024×1024 and of a look at 480×640.

    python tests/full_step.py [data/results/full_step.csv]

Columns: part, precision, canvases (pictures for a look); seconds: median of `times`; peak_gb (GiB) of the allocator; tflop counted on the
meta device for one; reached: operations a second, in TFLOP; device, torch. A step is all of it: pictures jittered by four processes, forward,
matching, losses, backward, AdamW."""
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from odise.data import PanopticDataset
from odise.files import atomic
from odise.live import Live
from odise.recipe import FULL, build, full_giants_of_noise
from odise.share import autocast
from odise.train import fit
from odise.world import write_split

COMMAND = 'python tests/full_step.py data/results/full_step.csv'
STEP, LOOK = 32.58/2, 18.3   # TFLOP of a canvas and of a look: tests/test_full.py, page 20


def timed(run, times, skip=2):
    "Median seconds of `times` turns, after some to warm up; peak memory of all."
    torch.cuda.reset_peak_memory_stats()
    spent = []
    for _ in range(skip + times):
        torch.cuda.synchronize()
        begun = time.time()
        run()
        torch.cuda.synchronize()
        spent.append(time.time() - begun)
    return dict(seconds=median(spent[skip:]), slowest=max(spent[skip:]), times=times, peak_gb=torch.cuda.max_memory_allocated()/2**30)

def rows(model, dataset):
    "One row for each way; what a card cannot do is a row, too."
    picture = torch.randint(256, (1, 3, 480, 640), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    def look(precision, _):   # one picture at a time
        def run():
            with autocast(precision, 'cuda'): return model.look_batch(picture)
        return timed(run, 5)
    def step(precision, canvases):
        told = asdict(FULL.training) | dict(steps=9, batch=canvases, precision=precision, every=1e9)
        with tempfile.TemporaryDirectory() as folder:
            run = fit(model, Live(model, dataset, FULL.training.augment, 0, captions=False, workers=4), Path(folder)/'x.safetensors', **told)
            out = timed(lambda: next(run), 6)
            run.close()
        return out
    for part,flop,run,ways in (('look', LOOK, look, [('fp32', 1), ('bf16', 1), ('fp16', 1)]), ('step', STEP, step, [('bf16', 1), ('fp16', 1), ('fp16', 2), ('bf16', 2), ('bf16', 4), ('fp32', 1)])):
        for precision,n in ways:
            try: told = run(precision, n)
            except (torch.OutOfMemoryError, FloatingPointError) as error: told = dict(failed=f'{type(error).__name__}: {error}'[:200])
            torch.cuda.empty_cache()
            row = dict(part=part, precision=precision, canvases=n) | told | dict(tflop=n*flop)
            yield row | (dict(reached=row['tflop']/row['seconds']) if 'seconds' in row else {})

def main():
    begun = time.time()
    dataset = PanopticDataset(write_split(tempfile.mkdtemp(), 'train', 64, progress=False))
    dataset.restrict([c for c in dataset.categories if c['seen']])
    model = build(FULL, dataset.categories, *(g.cuda() for g in full_giants_of_noise())).cuda()
    print(f'built in {time.time() - begun:.0f} s', flush=True)
    done = []
    for row in rows(model, dataset):
        done.append(row | dict(device=torch.cuda.get_device_name(), torch=torch.__version__, command=COMMAND))
        print({k: round(v, 3) if isinstance(v, float) else v for k,v in row.items()}, flush=True)
        if len(sys.argv) > 1:
            with atomic(sys.argv[1]) as part: pd.DataFrame(done).to_csv(part, index=False, float_format='%.4g')

if __name__ == '__main__':
    if not torch.cuda.is_available(): sys.exit('tests/full_step.py needs a CUDA device')
    main()
