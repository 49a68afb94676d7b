"The tiny ODISE of the end-to-end and the training cases: our constructors, the recipe's weights by their published names."
import re

import torch

from odise.model import trainable
from odise.recipe import Eye, Fusion, Head, Images, Recipe, build
from odise.text import Vocabulary

from e_maskclip import tiny_clip
from l_extractor_tiny import ATTENTION, RESNET, TOP, build_ldm, ldm_parts, rename, taps
from reference import recipe_value

# ------------------------------------------------------------------ our names → published names
OFFICIAL = {'backbone.captioner': 'backbone.feature_extractor', 'pyramid.feature_projections': 'backbone.feature_projections',
            'pixel_decoder': 'sem_seg_head.pixel_decoder', 'mask_decoder': 'sem_seg_head.predictor',
            'post_mask_embed': 'sem_seg_head.predictor.post_mask_embed'}

def official_key(key, supervision):
    "The official checkpoint's name of a trainable parameter of `odise.model.ODISE`."
    return rename(key, OFFICIAL | {'text_head': 'category_head' if supervision == 'label' else 'word_head'})

def swapped(table): return {v: k for k,v in table.items() if k != 'nin_shortcut'}

def published_unet(key, layers, attends):
    "The LDM name of a U-Net parameter; `attends`: the up blocks with attention."
    place = re.match(r'(down|up)_blocks\.(\d+)\.(\w+?)s\.(\d+)\.(.*)', key)
    if not place:
        inner = re.match(r'(mid_block\.resnets\.\d)\.(.*)', key)
        return rename(f'{inner[1]}.{rename(inner[2], swapped(RESNET))}' if inner else key, swapped(TOP))
    side, level, part, j, rest = place[1], int(place[2]), place[3], int(place[4]), place[5]
    n = level*(layers + 1) + (layers if part.endswith('sampler') else j)
    block = f'input_blocks.{n + 1}' if side == 'down' else f'output_blocks.{n}'
    if part == 'downsampler': return f'{block}.0.op.{rest.removeprefix("conv.")}'
    if part == 'upsampler': return f'{block}.{2 if level in attends else 1}.{rest}'
    return f'{block}.1.{rest}' if part == 'attention' else f'{block}.0.{rename(rest, swapped(RESNET))}'

def published_vae(key, levels):
    "The LDM name of a VAE parameter."
    key = re.sub(r'mid_block\.attentions\.0\.(.*)', lambda m: 'mid.attn_1.' + rename(m[1], swapped(ATTENTION)), key)
    key = re.sub(r'mid_block\.resnets\.(\d)', lambda m: f'mid.block_{int(m[1]) + 1}', key)
    key = re.sub(r'down_blocks\.(\d+)', r'down.\1', key)
    key = re.sub(r'up_blocks\.(\d+)', lambda m: f'up.{levels - 1 - int(m[1])}', key)
    key = re.sub(r'(down|up)samplers\.0', r'\1sample', key).replace('resnets', 'block')
    return key.replace('conv_norm_out', 'norm_out').replace('conv_shortcut', 'nin_shortcut')

def ldm_shapes(config):
    "Published name → shape of every parameter of the tiny latent diffusion model."
    layers, levels = config['sd']['unet']['num_res_blocks'], len(config['sd']['vae']['ch_mult'])
    with torch.device('meta'): parts = ldm_parts(config)
    attends = {int(m[1]) for k in parts['unet'].state_dict() if (m := re.match(r'up_blocks\.(\d+)\.attentions', k))}
    names = dict(unet=lambda k: f'model.diffusion_model.{published_unet(k, layers, attends)}',
                 vae=lambda k: f'first_stage_model.{published_vae(k, levels)}',
                 text=lambda k: f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}")
    return {f'sd.{names[part](k)}': list(v.shape) for part,module in parts.items()
            for k,v in module.state_dict().items() if not k.endswith('position_ids')}

# ------------------------------------------------------------------ the model
def recipe_of(config, supervision, alpha, beta):
    "The README's sizes as a recipe of ours."
    h, levels = config['head'], len(config['sd']['vae']['ch_mult'])
    assert h['conv_dim'] == h['mask_dim'] == h['hidden_dim'], 'our heads have one width'
    encoder, unet, decoder = taps(config['sd']['unet']['num_res_blocks'], levels)
    return Recipe(
        name='tiny', supervision=supervision, eye=Eye(vae_taps=(*encoder, *decoder), unet_taps=tuple(unet)),
        head=Head(pyramid=h['projection_dim'], bottleneck=h['projection_dim']//4, d=h['hidden_dim'], heads=h['nheads'], pixel_layers=h['pd_layers'],
                  pixel_ffn=h['pd_ffn'], queries=h['queries'], layers=h['td_layers'], ffn=h['td_ffn']),
        fusion=Fusion(alpha, beta, config['object_mask_threshold'], config['overlap_threshold']),
        images=Images(short_side=None, multiple=h['size_divisibility']))

def build_tiny(config, supervision, alpha=0.35, beta=0.65):
    "`ODISE` as `recipe.build` makes it, filled by the recipe; what is published under which name."
    ldm = build_ldm(config, ldm_shapes(config), window=512)   # its noise is drawn for 512 pixels, as everywhere
    model = build(recipe_of(config, supervision, alpha, beta), vocabulary(config, 'train_labels'), ldm, tiny_clip(config['clip']))
    model.backbone.window = config['head']['backbone_in_size'][0]
    params = {official_key(k, supervision): p for k,p in trainable(model).items()}
    with torch.no_grad():
        for key,p in params.items():
            if p.ndim: p.copy_(recipe_value('odise.' + key, p.shape))
    return model, params

def vocabulary(config, which='labels'):
    "Names of the README."
    return Vocabulary.read(config[which], isthing=[i in config['thing_ids'] for i in range(len(config[which]))])
