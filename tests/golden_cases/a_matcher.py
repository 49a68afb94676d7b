"Matching costs and assignments against the reference."
from pathlib import Path
import torch
from odise.matcher import cost_matrix, match
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
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
