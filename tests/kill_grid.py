"""A run that dies by SIGKILL at random moments and is begun again each time: does it end with the same bytes? Adds a row to `data/results/resume.csv`.

    python tests/kill_grid.py [KILLS]

Every life is a forked process, so that importing the libraries is paid once; nothing else is inherited.
"""
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = 40
OPTIONS = dict(supervision='both', steps=STEPS, captioner_steps=6, batch=2, queries=8, every=0.)


def live(out, scenes):
    "Fork a process that runs the command; its number."
    child = os.fork()
    if child: return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from odise.cli import odise_train
        odise_train(out=out, data=str(scenes), heard=str(scenes), **OPTIONS)
        code = 0
    finally: os._exit(code)


def step_of(out):
    "Steps that are safe on disk."
    from odise.files import read_facts
    path = out/'checkpoint.safetensors'
    return read_facts(path)['step'] if path.exists() else 0


def killed(out, scenes, after, patience):
    "Let a life pass step `after`, wait a moment by chance, kill it; False if it came to its end before."
    child, gone = live(out, scenes), (0, 0)
    while step_of(out) <= after and gone == (0, 0):
        time.sleep(0.005)
        gone = os.waitpid(child, os.WNOHANG)
    if gone == (0, 0):
        time.sleep(random.random()*patience)
        os.kill(child, signal.SIGKILL)   # no harm if it has just ended: it is not waited for yet
        gone = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(gone[1])
    if code > 0: sys.exit(f'the run failed by itself, status {code}')
    return code == -signal.SIGKILL


def same(one, other):
    "Are the two ends the same bytes?"
    return all((one/f).read_bytes() == (other/f).read_bytes() for f in ('checkpoint.safetensors', 'model.safetensors'))


def main(kills=20):
    import pandas as pd
    import torch
    torch.set_num_threads(1)
    import odise.cli, odise.evaluate, odise.live, odise.recipe, odise.train, odise.watch   # noqa: F401, E401: imported before the forks
    from odise.evaluate import add_rows
    from odise.world import write_split
    with tempfile.TemporaryDirectory() as folder:
        folder, begun = Path(folder), time.time()
        scenes = write_split(folder/'scenes', 'train', 6, progress=False)
        whole, broken = folder/'whole', folder/'broken'
        os.waitpid(live(whole, scenes), 0)
        pace, died_at, equal = (time.time() - begun)/STEPS, [], True
        while len(died_at) < kills:
            if killed(broken, scenes, step_of(broken) + random.randrange(2), pace): died_at.append(step_of(broken))
            else:   # it came to its end: a new run for the deaths that are left
                equal = equal and same(whole, broken)
                shutil.rmtree(broken)
        os.waitpid(live(broken, scenes), 0)
        equal = equal and same(whole, broken)
        row = dict(kills=len(died_at), bit_equal=equal, steps=STEPS, seconds=round(time.time() - begun), died_at=' '.join(map(str, died_at)), command=f'python tests/kill_grid.py {kills}')
        curves = [pd.read_csv(out/'losses.csv').assign(run=name)[['run', 'step', 'loss']] for name, out in (('whole', whole), ('killed', broken))]
        add_rows(ROOT/'data'/'results'/'resume.csv', [row], ['command'])
        add_rows(ROOT/'data'/'results'/'resume_losses.csv', pd.concat(curves).to_dict('records'), ['run', 'step'])
    print(f'{ROOT}/data/results/resume.csv: {row}')
    if not equal: sys.exit('the bytes differ')


if __name__ == '__main__': main(*map(int, sys.argv[1:]))
