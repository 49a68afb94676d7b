"The mask decoder and its pooled embedding head against the reference, at every depth."
import re
from pathlib import Path
import torch
from odise.mask_decoder import MaskDecoder
from odise.mask_pool import PooledMaskEmbed, mask_pool
from reference import Reference

def load(module, weights, prefix):
    "Fill `module` with the stored weights under `prefix`, all of them."
    module.load_state_dict({k.removeprefix(prefix): v for k,v in weights.items() if k.startswith(prefix)})
    return module.eval()

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
    config,weights = info['config'], {k: v for k,v in data.items() if k.startswith('sd.')}
    post = load(PooledMaskEmbed(config['hidden']), weights, 'sd.post_mask_embed.')
    weights = {k: v for k,v in weights.items() if not k.startswith('sd.post_mask_embed.')}
    memory = [data[name] for name in sorted(k for k in data if re.fullmatch(r'x\d', k))]
    n_classes = 2 if 'sd.class_embed.weight' in weights else None
    model = load(MaskDecoder(config['hidden'], config['queries'], config['dec_layers'], config['nheads'], config['ffn'],
                             len(memory), n_classes), weights, 'sd.')
    with torch.no_grad(): outputs = model(memory, data['mask_features'])
    assert len(outputs) == info['n_aux'] + 1
    for i,out in enumerate(outputs):
        prefix = f'aux{i}_' if i < info['n_aux'] else ''
        got = {k: out[k] for k in ('pred_masks', 'pred_logits') if k in out}
        with torch.no_grad():
            got['mask_pooled_features'] = post.pool_proj(mask_pool(data['mask_features'], out['pred_masks'])) + out['queries']
            got['mask_embed'] = post(out['queries'], data['mask_features'], out['pred_masks'])
            got['logit_scale'] = post.scale()
        for k,v in got.items():
            if prefix + k in data: same(prefix + k, v)
    return errors
