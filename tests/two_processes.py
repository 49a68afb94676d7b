"""One process and two that share its batch: the same losses? Writes `data/results/processes.csv`.

    python tests/two_processes.py [STEPS]
"""
import os
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_port():
    with socket.socket() as s:
        s.bind(('localhost', 0))
        return s.getsockname()[1]


def one_of(rank, world, port, options):
    "What a launcher sets, then the command as it is."
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world), MASTER_ADDR='localhost', MASTER_PORT=str(port))
    from odise.cli import odise_train
    odise_train(**options)


def train_in(world, options):
    "Run `odise_train` in so many forked processes; they start with everything imported."
    import torch.multiprocessing as mp
    mp.start_processes(one_of, (world, free_port(), options), nprocs=world, start_method='fork')


def compare(scenes, folder, kind, **options):
    "Rows of one process beside those of two, and the largest difference of a weight at the end."
    import pandas as pd
    from odise.files import read_tensors
    for world, name in ((1, 'one'), (2, 'two')):
        train_in(world, dict(out=folder/f'{kind}-{name}', data=str(scenes), supervision=kind, every=1e9, **options))
    weights = [read_tensors(folder/f'{kind}-{name}'/'checkpoint.safetensors')[0] for name in ('one', 'two')]
    apart = max((weights[0][k] - weights[1][k]).abs().max().item() for k in weights[0] if k.startswith('model.'))
    one, two = (pd.read_csv(folder/f'{kind}-{name}'/'losses.csv') for name in ('one', 'two'))
    return pd.DataFrame(dict(supervision=kind, step=one.step, one=one.loss, two=two.loss, gradient_one=one.grad_norm, gradient_two=two.grad_norm, weights_apart=apart))


def main(steps=6):
    import torch
    torch.set_num_threads(1)
    import odise.cli, odise.evaluate, odise.live, odise.recipe, odise.train, odise.watch, accelerate   # noqa: F401, E401: imported before the fork
    import pandas as pd
    from odise.files import atomic
    from odise.world import write_split
    table, rows = ROOT/'data'/'results'/'processes.csv', []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        scenes, told = (write_split(folder/split, split, 9, progress=False) for split in ('train', 'web'))
        for kind in ('label', 'caption'):
            # three canvases a step: two processes cannot share them evenly; the captioner is alive for half of the run
            rows.append(compare(scenes, folder, kind, steps=steps, batch=3, queries=10, lr=2e-4, captioner_steps=steps//2, heard=str(told)))
    rows = pd.concat(rows).assign(command='python tests/two_processes.py')
    with atomic(table) as part: rows.to_csv(part, index=False, float_format='%.9g')
    print(f'{table}: largest relative difference of a loss {(rows.two/rows.one - 1).abs().max():.2g}, of a gradient norm {(rows.gradient_two/rows.gradient_one - 1).abs().max():.2g}')


if __name__ == '__main__': main(*map(int, sys.argv[1:]))
