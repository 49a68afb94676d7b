"Image–caption grounding loss and its gradients against the reference."
import json, re
from pathlib import Path
import torch
from safetensors.torch import load_file
from odise.grounding import grounding_loss

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    rtol,atol = map(float, re.findall(r'1e-\d', json.loads((folder/'README.json').read_text())['tolerance']))
    data,errors = load_file(folder/'data.safetensors'),{}
    def same(name, got):
        want = data[name]
        errors[name] = ((got - want).abs()/(want.abs() + atol/rtol)).max().item()
        assert got.shape == want.shape and errors[name] <= rtol, f'{name}: error {errors[name]:.2e}'
    for case in sorted({k.split('_')[0] for k in data}):
        inputs = {k: data[f'{case}_{k}'].clone().requires_grad_() for k in ('mask_embed', 'word_embed', 'logit_scale')}
        masks,words,scale = inputs.values()
        valid = data[f'{case}_word_valid_mask'].any(-1)
        loss,aux = (grounding_loss(m, words, valid, scale, keep_quirks=True) for m in (masks, masks*0.5 + 1))
        (loss + 0.5*aux).backward()
        same(f'{case}_loss', loss.detach())
        same(f'{case}_loss_aux', aux.detach())
        for k,x in inputs.items(): same(f'{case}_grad_{k}', x.grad)
    return errors
