"Deformable attention, its gradients and its module against the reference."
import json, re
from pathlib import Path
import torch
from safetensors.torch import load_file
from odise.pixel_decoder import MSDeformAttn, deformable_sample

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    info = json.loads((folder/'README.json').read_text())
    rtol,atol = map(float, re.findall(r'1e-\d', info['tolerance']))
    data,errors = load_file(folder/'data.safetensors'),{}
    def same(name, got):
        want = data[name]
        errors[name] = ((got - want).abs()/(want.abs() + atol/rtol)).max().item()
        assert got.shape == want.shape and errors[name] <= rtol, f'{name}: error {errors[name]:.2e}'
    shapes = [tuple(o) for o in data['spatial_shapes'].tolist()]
    names = ('value', 'sampling_locations', 'attention_weights')
    value,locations,weights = leaves = [data[name].clone().requires_grad_() for name in names]
    output = deformable_sample(value, shapes, locations, weights)
    same('output', output.detach())
    for name,grad in zip(names, torch.autograd.grad(output, leaves, data['grad_output'])): same(f'grad_{name}', grad)
    _,_,n_heads,n_levels,n_points = weights.shape
    module = MSDeformAttn(data['mod_query'].shape[-1], n_levels, n_heads, n_points)
    module.load_state_dict({k.removeprefix('mod_sd.'): v for k,v in data.items() if k.startswith('mod_sd.')})
    with torch.no_grad():
        inputs = data['mod_query'], data['mod_reference'], data['mod_input'], shapes
        same('mod_output', module(*inputs, padding=data['mod_padding']))
        same('mod_output_nopad', module(*inputs))
    return errors
