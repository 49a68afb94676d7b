"CLIP as captioner input, as text encoder and as mask classifier, against the reference's numbers."
import math
import re
from pathlib import Path

import torch
import torch.nn.functional as F

from odise.clip import FrozenCLIP   # mends torchvision before open_clip comes
import open_clip

from odise.mask_clip import blocked_patches, mask_clip_embed
from odise.words import make_tokenizer
from reference import Reference, recipe_value

def fill(model, prefix):
    "Every parameter of `model` by the recipe; scalars stay."
    with torch.no_grad():
        for name,p in model.named_parameters():
            if p.ndim: p.copy_(recipe_value(prefix + name, p.shape))
    return model

def tiny_clip(config):
    "`FrozenCLIP` of a README's sizes with the recipe's weights."
    parts = {k: config[k] for k in ('embed_dim', 'vision_cfg', 'text_cfg')}
    model = fill(open_clip.CLIP(**parts, quick_gelu=config.get('quick_gelu', True)), 'clip.')
    model.logit_scale.data.fill_(config.get('logit_scale parameter', math.log(100)))   # where none is stated, OpenAI's
    return FrozenCLIP(model, make_tokenizer(context_length=config['text_cfg']['context_length']))

def check_masks(same, clip, image, logits, names):
    "Where a mask's token may look, what it says, and how that agrees with names."
    embed = mask_clip_embed(clip, image, logits)
    same('mask_embed', embed)
    b,q,n = *logits.shape[:2], clip.grid**2
    barred = torch.zeros(b, q + 1 + n, q + 1 + n, dtype=torch.bool)
    barred[..., :q] = True
    barred[:, :q, q+1:] = blocked_patches(logits, clip.image_size, clip.patch_size)
    same('attn_mask_head0', barred)
    text = clip.embed_text([s for strings in names for s in strings])
    same('text_embed', text)
    cosine = F.normalize(embed, dim=-1) @ F.normalize(text, dim=-1).T
    parts = (clip.logit_scale * cosine).split([len(strings) for strings in names], -1)
    same('mask_pred_open_logits', torch.stack([part.amax(-1) for part in parts], -1))

def check_plain(same, clip, data):
    "Images of other sizes: the captioner's path, the antialiased trap, the patches."
    sizes = [m[1] for k in data if (m := re.fullmatch(r'plain_image_(\w+)', k))]
    for size in sizes:
        image = data[f'plain_image_{size}']
        same(f'plain_embed_{size}', clip.embed_image(image))
        if f'plain_embed_{size}_antialiased_resize' in data:
            smooth = F.interpolate(image, (clip.image_size,)*2, mode='bicubic', antialias=True)
            same(f'plain_embed_{size}_antialiased_resize', clip.model.encode_image((smooth - clip.mean) / clip.std))
        if f'plain_encodings_{size}' in data:
            tokens,_ = clip.blocks(clip.patch_tokens(clip.preprocess(image)))
            dense = clip.project(tokens[:, 1:]).transpose(1, 2).unflatten(2, (clip.grid, clip.grid))
            same(f'plain_encodings_{size}', F.interpolate(dense, data[f'plain_encodings_{size}'].shape[-2:], mode='bilinear', align_corners=False))

@torch.no_grad()
def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same = reference.info,reference.data,reference.same
    clip = tiny_clip(info['clip_config'])
    for k in [k for k in data if k.startswith('sd.')]: same(k, clip.model.state_dict()[k[3:]])
    strings = [s for names in info['labels'] for s in names]
    same('tokens', clip.tokenize(strings), data['tokens'][:len(strings)])
    same('encode_text', clip.model.encode_text(data['tokens']))
    same('logit_scale_after_exp', clip.logit_scale)
    same('clip_input', clip.preprocess(data['image'], 'squash'))
    check_masks(same, clip, data['image'], data['mask_logits'], info['labels'])
    check_plain(same, clip, data)
    return reference.errors
