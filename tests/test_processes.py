"Several processes that share a batch make the step that one process makes alone."
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = '''
import sys, torch, torch.distributed as dist
from torch import nn
from odise.muon import muon_and_adamw, ranks
from odise.train import grow, param_groups
if 'WORLD_SIZE' in __import__('os').environ: dist.init_process_group('gloo')
torch.manual_seed(0)
torch.set_num_threads(1)
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
x, y = torch.randn(5, 8, 6), torch.randn(5, 8, 3)
mine = slice(ranks()[0], None, ranks()[1])
opts = muon_and_adamw(net, param_groups(net), lambda name: name in ('0.weight', '2.weight'), 0.05)
for row in grow(lambda s: dict(loss_toy=(net(x[s, mine]) - y[s, mine]).square().mean()), dict(model=net), opts, sys.argv[1], 5, lambda s: 1.): pass
'''


def test_two_processes_equal_one(tmp_path):
    from odise.files import read_tensors
    (tmp_path/'toy.py').write_text(PROGRAM)
    alone, shared = tmp_path/'alone.safetensors', tmp_path/'shared.safetensors'
    two = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
    for start, path in (([sys.executable], alone), (two, shared)): subprocess.run([*start, tmp_path/'toy.py', path], check=True, cwd=Path(__file__).parents[1])
    a, b = (read_tensors(p)[0] for p in (alone, shared))
    assert a.keys() == b.keys()
    for name in a: torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5, msg=lambda m: f'{name}: {m}')


def free_port():
    with socket.socket() as s:
        s.bind(('localhost', 0))
        return str(s.getsockname()[1])


@pytest.mark.parametrize('heard, steps', [(False, 2), (True, 1)])
def test_a_launched_command_makes_the_losses_of_one_process(tmp_path, heard, steps):
    "`accelerate launch -m odise.cli train` on two CPU processes; three canvases a step cannot be shared evenly; names and words are learnt at once, and perhaps captions heard beside them."
    import pandas as pd
    from odise.cli import odise_train
    from odise.world import write_split
    scenes, told = (str(write_split(tmp_path/name, name, 6, progress=False)) for name in ('train', 'web'))
    options = dict(data=scenes, supervision='both', steps=steps, batch=3, queries=8, lr=2e-4, captioner_steps=1) | (dict(heard=told) if heard else {})
    odise_train(out=tmp_path/'one', **options)
    launch = [sys.executable, '-m', 'accelerate.commands.launch', '--multi_gpu', '--num_processes', '2', '--num_machines', '1', '--mixed_precision', 'no',
              '--dynamo_backend', 'no', '--main_process_port', free_port(), '-m', 'odise.cli', 'train']
    words = [str(w) for name, value in options.items() for w in (f'--{name}', value)]
    done = subprocess.run([*launch, *words, '--out', tmp_path/'two'], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (pd.read_csv(tmp_path/name/'losses.csv') for name in ('one', 'two'))
    assert one.step.tolist() == two.step.tolist() == [*range(steps)]
    for column in ('loss', 'grad_norm'): torch.testing.assert_close(torch.tensor(two[column]), torch.tensor(one[column]), rtol=1e-4, atol=0, msg=lambda m: f'{column}: {m}')
    assert 'model, checkpoint.safetensors' in done.stdout and done.stdout.count('losses.csv') == 1   # the first process speaks for all
