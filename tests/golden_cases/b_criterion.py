"Set losses and their gradients against the reference."
import re
from pathlib import Path
from odise.losses import set_losses, weighted
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
    scale = {k.removeprefix('loss_'): v for k,v in info['weights'].items()}
    for case,setting in info['cases'].items():
        draws = iter([data[f'{case}_rand_{i}'] for i in range(setting['n_rand_calls'])])
        def rand(shape):
            drawn = next(draws)
            assert tuple(shape) == drawn.shape, f'asked {tuple(shape)}, the reference drew {tuple(drawn.shape)}'
            return drawn
        n_outputs = sum(bool(re.fullmatch(rf'{case}_\d_pred_logits', k)) for k in data)
        leaves = [{k: data[f'{case}_{j}_{k}'].clone().requires_grad_() for k in ('pred_logits', 'pred_masks')}
                  for j in range(n_outputs)]
        targets = [{k: data[f'{case}_{i}_{k}'] for k in ('labels', 'masks')} for i in range(len(setting['n_targets']))]
        losses = set_losses([*leaves[1:], leaves[0]], targets, setting['num_points'], info['oversample_ratio'],
                            info['importance_sample_ratio'], info['eos_coef'], weights=tuple(scale[k] for k in ('ce', 'mask', 'dice')), rand=rand)
        total = sum(weighted(losses, **scale).values())
        total.backward()
        assert next(draws, None) is None, 'random numbers are left over'
        for name,value in losses.items(): same(f'{case}_{name}', value.detach())
        same(f'{case}_total_weighted', total.detach())
        for j,leaf in enumerate(leaves):
            same(f'{case}_{j}_grad_logits', leaf['pred_logits'].grad)
            same(f'{case}_{j}_grad_masks', leaf['pred_masks'].grad)
    return errors
