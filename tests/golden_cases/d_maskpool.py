"Pooled mask embedding head against the reference."
from pathlib import Path
from odise.mask_pool import PooledMaskEmbed, mask_pool
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    data,same,errors = reference.data,reference.same,reference.errors
    weights = {k.removeprefix('sd.'): v for k,v in data.items() if k.startswith('sd.')}
    head = PooledMaskEmbed(data['decoder_output'].shape[-1], out=data['mask_embed'].shape[-1])
    head.load_state_dict(weights)
    queries,features = (data[k].clone().requires_grad_() for k in ('decoder_output', 'mask_features'))
    embed = head(queries, features, data['pred_masks'])
    embed.square().sum().backward()
    pooled = mask_pool(data['mask_features'], data['pred_masks'])
    same('mask_embed', embed.detach())
    same('pool_raw', pooled)
    same('pool_soft', mask_pool(data['mask_features'], data['pred_masks'], hard=False))
    same('mask_pooled_features', head.pool_proj(pooled).detach() + data['decoder_output'])
    same('logit_scale', head.scale().detach())
    same('grad_decoder_output', queries.grad)
    same('grad_mask_features_abs_sum', features.grad.abs().sum())
    return errors
