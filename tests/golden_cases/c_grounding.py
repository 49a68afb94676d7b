"Image–caption grounding loss and its gradients against the reference."
from pathlib import Path
from odise.grounding import grounding_loss
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    data,same,errors = reference.data,reference.same,reference.errors
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
