"One training step of the whole tiny model: every loss, the norm of every gradient, some gradients whole."
import re
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F

from odise.model import fit_size, odise_losses
from reference import Reference
from tiny_odise import build_tiny


def batch_of(data):
    "Images `b 3 H W` in [0, 1] and their targets, on one canvas."
    rows = sorted((k.split('_')[0] for k in data if re.fullmatch(r'\d+_image', k)), key=int)
    H,W = (max(data[f'{i}_image'].shape[d] for i in rows) for d in (1, 2))
    lay = lambda x: F.pad(x, (0, W - x.shape[-1], 0, H - x.shape[-2]))
    return torch.stack([lay(data[f'{i}_image']) for i in rows]).float()/255, [dict(labels=data[f'{i}_classes'], masks=lay(data[f'{i}_masks'])) for i in rows]

def recorded(data):
    "`torch.rand` that gives back what the reference drew, call by call; and what it has not given yet."
    left = [data[k] for k in sorted((k for k in data if k.startswith('rand_')), key=lambda k: int(k[5:]))]
    def rand(shape, **options):
        drawn = left.pop(0)
        assert tuple(shape) == drawn.shape, f'asked {tuple(shape)}, the reference drew {tuple(drawn.shape)}'
        return drawn
    return rand, left

def step_losses(model, data, info):
    "Weighted terms of `odise_losses` on the case's batch, words and random points."
    images,targets = batch_of(data)
    canvas = fit_size(images, multiple=model.multiple)[1]
    for t in targets: t['masks'] = F.pad(t['masks'], (0, canvas.shape[-1] - images.shape[-1], 0, canvas.shape[-2] - images.shape[-2]))
    outputs,words = model(model.prepare(canvas), canvas.shape[-2:]), info['words'] or None
    valid = torch.tensor([any(phrases) for phrases in words]) if words else None
    rand,left = recorded(data)
    with patch('torch.rand', rand): terms = odise_losses(model, outputs, targets, words, valid, n_points=info['config']['head']['num_points'])
    assert not left, f'{len(left)} draws are left over'
    return terms

def check(folder:Path, supervision='label')->dict:
    "Largest error per number or tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same = reference.info,reference.data,reference.same
    model,params = build_tiny(info['config'], supervision)
    terms = step_losses(model.train(), data, info)
    assert set(terms) == {k for k in data if k.startswith('loss_')}
    for name,term in terms.items(): same(name, term.detach())
    total = sum(terms.values())
    same('total', total.detach())
    total.backward()
    known = {k: v for k,v in info['grad_norms'].items() if v is not None}   # without one: CLIP's temperature, frozen
    assert set(params) == set(known)
    dust = 1e-7*max(known.values())
    for name,norm in known.items():
        got = params[name].grad.norm()
        if norm > dust: same(f'norm.{name}', got, torch.tensor(norm))
        else: assert got < dust, f'{name}: gradient {got:.1e}; a bias whose norm takes it away again has none but rounding'
    for name in [k for k in data if k.startswith('grad.')]: same(name, params[name.removeprefix('grad.')].grad)
    frozen = [k for k,p in model.named_parameters() if not p.requires_grad and p.grad is not None]
    assert not frozen, f'gradient reached {frozen[:3]}'
    return reference.errors
