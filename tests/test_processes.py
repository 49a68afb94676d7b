"Several processes that share a batch make the step that one process makes alone."
import subprocess
import sys
from pathlib import Path

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
