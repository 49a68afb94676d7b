"Evaluate the folder argv[1] into argv[2], killed (SIGKILL) argv[3] times at random moments; every look is noted in argv[2]/../looks-TURN.txt."
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from known import Known

from odise.data import PanopticDataset
from odise.protocol import run_protocol


def evaluate(data, out, turn):
    "One process's life."
    model = Known(data, shift=1)
    def look_batch(images):
        with open(out.parent/f'looks-{turn}.txt', 'a') as file: file.write(f'{len(images)}\n')
        time.sleep(0.05)
        return Known.look_batch(model, images)
    model.look_batch = look_batch
    run_protocol(model, data, out, batch=3)


def blocks(out): return (out/'scored.jsonl').read_bytes().count(b'\n') if (out/'scored.jsonl').exists() else 0


torch.set_num_threads(1)
data, out, kills = PanopticDataset(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
out.parent.mkdir(parents=True, exist_ok=True)
for turn in range(kills + 1):
    had, child = blocks(out), os.fork()
    if child == 0:
        evaluate(data, out, turn)
        os._exit(0)
    if turn == kills: break
    while blocks(out) < had + 1: time.sleep(0.001)
    time.sleep(random.random()*0.1)      # what it is doing then is left to chance
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(blocks(out), flush=True)       # whole lines when it died
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
