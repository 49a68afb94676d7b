"Matching costs and assignments against the reference."
import json, re
from pathlib import Path
import torch
from safetensors.torch import load_file
from odise.matcher import cost_matrix, match

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    info = json.loads((folder/'README.json').read_text())
    rtol,atol = map(float, re.findall(r'1e-\d', info['tolerance']))
    data,errors = load_file(folder/'data.safetensors'),{}
    def same(name, got):
        want = data[name]
        errors[name] = ((got - want).abs()/(want.abs() + atol/rtol)).max().item()
        assert got.shape == want.shape and errors[name] <= rtol, f'{name}: error {errors[name]:.2e}'
    weights = [info['weights'][k] for k in ('class', 'mask', 'dice')]
    for case,setting in info['cases'].items():
        for i in range(len(setting['n_targets'])):
            one = lambda key: data[f'{case}_{i}_{key}']
            costs = lambda w: cost_matrix(data[f'{case}_pred_logits'][i], data[f'{case}_pred_masks'][i],
                                          one('labels'), one('masks'), one('points'), w)
            same(f'{case}_{i}_cost', costs(weights))
            same(f'{case}_{i}_cost_mask', costs((0, 1, 0)))
            same(f'{case}_{i}_cost_dice', costs((0, 0, 1)))
            for name,got in zip(('src', 'tgt'), match(costs(weights))):
                assert torch.equal(got, one(name)), f'{case}_{i}_{name}'
    return errors
