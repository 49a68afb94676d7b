"A training run that is killed at any moment goes on to the same bits."
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STEPS = 8
TRAIN = str(Path(sys.executable).with_name('odise_train'))


def command(scenes, out):
    return [TRAIN, '--data', str(scenes), '--heard', str(scenes), '--supervision', 'caption', '--steps', str(STEPS), '--captioner_steps', '3', '--batch', '4',
            '--queries', '10', '--every', '0', '--out', str(out)]


def run_options():
    return dict(cwd=Path(__file__).parents[1], env=os.environ | dict(OMP_NUM_THREADS='1'), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def step_of(path):
    "Steps that are safe on disk."
    from odise.files import read_facts
    return read_facts(path)['step'] if path.exists() else 0


def kill_at(process, checkpoint, step):
    "SIGKILL as soon as `step` steps are on disk; what the process is doing then is left to chance."
    while process.poll() is None and step_of(checkpoint) < step: time.sleep(0.02)
    time.sleep(random.random())
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    from odise.world import write_split
    return write_split(tmp_path_factory.mktemp('scenes'), 'train', 12, progress=False)


def test_killed_run_ends_bit_equal(scenes, tmp_path):
    whole, broken = tmp_path/'whole', tmp_path/'broken'
    subprocess.run(command(scenes, whole), check=True, **run_options())
    for step in sorted(random.sample(range(1, STEPS), 2)):   # one death may fall into the captioner's part, one into the rest
        kill_at(subprocess.Popen(command(scenes, broken), **run_options()), broken/'checkpoint.safetensors', step)
        assert step_of(broken/'checkpoint.safetensors') >= step
    subprocess.run(command(scenes, broken), check=True, **run_options())
    for file in ('model.safetensors', 'checkpoint.safetensors'): assert (whole/file).read_bytes() == (broken/file).read_bytes(), file
    other = subprocess.run([*command(scenes, broken), '--lr', '0.5'], **run_options())
    assert other.returncode and b'training.lr was 0.002, is 0.5' in other.stderr
