"CLIP as captioner input, as text encoder and as mask classifier, against the reference's numbers."
import json, zlib
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
import odise.clip   # mends torchvision before open_clip comes
import open_clip
from odise.clip import FrozenCLIP
from odise.mask_clip import blocked_patches, mask_clip_embed
from odise.words import make_tokenizer

def recipe(name, shape, gain=1.):
    "One parameter of the reference, from its published name."
    value = np.random.RandomState(zlib.crc32(name.encode()) & 0xffffffff).standard_normal(tuple(shape)).astype(np.float32)
    if len(shape) >= 2: return torch.from_numpy(value * np.float32(gain / np.sqrt(np.prod(shape[1:]))))
    return torch.from_numpy(np.float32(name.endswith('weight')) + np.float32(0.1) * value)

def fill(model, prefix):
    "Every parameter of `model` by the recipe; scalars stay."
    with torch.no_grad():
        for name,p in model.named_parameters():
            if p.ndim: p.copy_(recipe(prefix + name, p.shape))
    return model

def error(ours, theirs, rtol=1e-4, atol=1e-5):
    "Largest relative error; raises beyond the tolerance."
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
    if not theirs.is_floating_point(): return 0.
    return ((ours - theirs).abs() / (theirs.abs() + atol / rtol)).max().item()

@torch.no_grad()
def check(folder):
    "Largest error per tensor of the case."
    folder = Path(folder)
    note,data = json.loads((folder/'README.json').read_text()), load_file(folder/'data.safetensors')
    config = note['clip_config']
    model = open_clip.CLIP(**{k: config[k] for k in ('embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu')})
    fill(model, note['recipe_prefix'])
    with torch.no_grad(): model.logit_scale.fill_(config['logit_scale parameter'])
    tokenize = make_tokenizer(context_length=config['text_cfg']['context_length'])
    clip = FrozenCLIP(model, tokenize)
    state,image,logits = model.state_dict(), data['image'], data['mask_logits']
    found = {k: error(state[k[3:]], v) for k,v in data.items() if k.startswith('sd.')}

    def see(name, ours): found[name] = error(ours, data[name])
    see('clip_input', clip.preprocess(image, 'squash'))
    embed = mask_clip_embed(clip, image, logits)
    see('mask_embed', embed)
    b,q,n = *logits.shape[:2], clip.grid**2
    barred = torch.zeros(b, q + 1 + n, q + 1 + n, dtype=torch.bool)
    barred[..., :q] = True
    barred[:, :q, q+1:] = blocked_patches(logits, clip.image_size, clip.patch_size)
    see('attn_mask_head0', barred)

    strings = [name for names in note['labels'] for name in names]
    assert torch.equal(tokenize(strings), data['tokens'][:len(strings)])
    see('text_embed', clip.embed_text(strings))
    see('encode_text', model.encode_text(data['tokens']))
    see('logit_scale_after_exp', clip.logit_scale)
    cosine = F.normalize(embed, dim=-1) @ F.normalize(clip.embed_text(strings), dim=-1).T
    parts = (clip.logit_scale * cosine).split([len(names) for names in note['labels']], -1)
    see('mask_pred_open_logits', torch.stack([part.amax(-1) for part in parts], -1))

    for size in ('128', '100x72'): see(f'plain_embed_{size}', clip.embed_image(data[f'plain_image_{size}']))
    smooth = F.interpolate(data['plain_image_128'], (clip.image_size,)*2, mode='bicubic', antialias=True)
    see('plain_embed_128_antialiased_resize', clip.model.encode_image((smooth - clip.mean) / clip.std))
    tokens,_ = clip.blocks(clip.patch_tokens(clip.preprocess(data['plain_image_128'])))
    side = data['plain_encodings_128'].shape[-1]
    dense = clip.project(tokens[:, 1:]).transpose(1, 2).unflatten(2, (clip.grid, clip.grid))
    see('plain_encodings_128', F.interpolate(dense, (side, side), mode='bilinear', align_corners=False))
    return found
