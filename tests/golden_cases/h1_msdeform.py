"Deformable attention, its gradients and its module against the reference."
from pathlib import Path
import torch
from odise.pixel_decoder import MSDeformAttn, deformable_sample
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    data,same,errors = reference.data,reference.same,reference.errors
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
