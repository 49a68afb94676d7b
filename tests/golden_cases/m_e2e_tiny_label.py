"The whole tiny model, image to panoptic map, with one window and with several."
import re
from dataclasses import replace
from pathlib import Path

import torch

from odise.fusion import geometric_ensemble
from odise.panoptic import instance_inference, semantic_inference
from reference import Reference
from tiny_odise import build_tiny, vocabulary


def look_inside(model, image):
    "A `Look` at the image; what went into and came out of the pixel decoder on the way; what the embedding head was given."
    seen, given = {}, []
    def note(module, args, out): seen.update({f's{stride.bit_length() - 1}': o for stride,o in args[0].items()}, mask_features=out[0], ms0=out[1][0])
    hooks = [model.pixel_decoder.register_forward_hook(note), model.post_mask_embed.register_forward_pre_hook(lambda module, args: given.extend(args))]
    look = model.look(image)
    for hook in hooks: hook.remove()
    return look, seen, given

def on_its_side(reference, run, model, look, given):
    """The look, pooled with the reference's masks at the pixels where a logit of zero, but for rounding, fell on different sides.

    A mask of few pixels makes one such pixel worth more than the tolerance; the masks themselves have been compared before."""
    want = reference.data[f'{run}_pred_masks'][0]
    tipped = (look.pred_masks > 0) != (want > 0)
    if not tipped.any(): return look
    masks = torch.where(tipped, want, look.pred_masks)
    return replace(look, mask_embed=model.post_mask_embed(*given[:2], masks[None])[0])

def scores(model, look, names):
    "Class scores before and after fusion."
    logits,clip,_ = model.opinions(look, names)
    label = look.object_logits is None
    raw = model.text_logits(look.mask_embed[None], names, null=True) if label else look.object_logits[None]
    fused = geometric_ensemble(logits.log_softmax(-1), clip.log_softmax(-1), names.seen, model.alpha, model.beta)
    return dict(pred_logits_raw=raw, fused_open_logits=fused)

def compare_instances(reference, run, found):
    "Scores in order; classes, too, up to the order of ties."
    scores,classes = reference.data[f'{run}_inst_scores'], reference.data[f'{run}_inst_classes']
    scores,order = scores.sort(descending=True)
    reference.same(f'{run}_inst_scores', found['scores'], scores)
    for c in classes.unique():
        reference.same(f'{run}_inst_scores of class {c}', found['scores'][found['classes'] == c], scores[classes[order] == c])

def compare_panoptic(reference, run, result):
    "Share of pixels in another segment, or in one of another class."
    allowed = 1 - float(re.search(r'agreement > ([\d.]+)%', reference.info['tolerance'])[1])/100
    def classes(ids, segments, key):
        table = torch.full((256,), -1)
        for s in segments: table[s['id']] = 2*s[key] + s['isthing']
        return table[ids.long()]
    want = reference.data[f'{run}_panoptic']
    differs = (result.panoptic != want) | (classes(result.panoptic, result.segments_info, 'category')
                                           != classes(want, reference.info['runs'][run]['segments_info'], 'category_id'))
    reference.errors[f'{run}_panoptic'] = share = differs.float().mean().item()
    assert share < allowed, f'{run}_panoptic: {share:.2%} of the pixels differ'

@torch.no_grad()
def check_run(reference, run, model, names):
    "One image: every stored tensor, in the order in which it arises."
    info,data = reference.info,reference.data
    wide,narrow = map(int, re.findall(r'channels ::(\d+)', info['subsampling']))
    coarse,fine = map(int, re.search(r'strided \((\d+), (\d+)\)', info['subsampling']).groups())
    look,seen,given = look_inside(model, data[f'{run}_image'])
    reference.same(f'{run}_pred_masks', look.pred_masks[None])
    look = on_its_side(reference, run, model, look, given)
    seen |= dict(s2=seen['s2'][:, ::wide], s3=seen['s3'][:, ::wide], mask_features=seen['mask_features'][:, ::narrow])
    seen |= dict(pred_masks=look.pred_masks[None], mask_embed=look.mask_embed[None]) | scores(model, look, names)
    paper = torch.zeros(3, *info['runs'][run]['out_hw'])   # the size that the answer is wanted at
    result = model.name(replace(look, image=paper), names)
    seen |= dict(mask_cls_final=(result.probs + 1e-8).log(), masks_final=result.masks[:, ::coarse, ::coarse],
                 sem_seg=semantic_inference(result.probs, result.masks)[:, ::fine, ::fine])
    for name,got in seen.items(): reference.same(f'{run}_{name}', got)
    compare_instances(reference, run, instance_inference(result.probs, result.masks, names.isthing, info['config']['head']['topk']))
    compare_panoptic(reference, run, result)
    left = {k for k in data if k.startswith(f'{run}_')} - {f'{run}_{k}' for k in (*seen, 'image', 'panoptic', 'inst_scores', 'inst_classes')}
    assert not left, f'not compared: {sorted(left)}'

def check(folder:Path, supervision='label')->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info = reference.info
    model,params = build_tiny(info['config'], supervision, info['alpha'], info['beta'])
    ours,theirs = ({(k, tuple(s)) for k,s in rows} for rows in ([(f'odise.{k}', p.shape) for k,p in params.items() if p.ndim], info['keys_trainable'].items()))
    assert ours == theirs, f'only ours: {sorted(ours - theirs)[:4]}, only theirs: {sorted(theirs - ours)[:4]}'
    names = model.read(vocabulary(info['config']))
    for run in info['runs']: check_run(reference, run, model.eval(), names)
    return reference.errors
