"The tiny ODISE of the end-to-end and the training cases: our constructors, the recipe's weights by their published names."
import torch

from odise.ckpt import published
from odise.hub import official_layout
from odise.model import trainable
from odise.recipe import Eye, Fusion, Head, Images, Recipe, build
from odise.text import Vocabulary

from e_maskclip import tiny_clip
from l_extractor_tiny import build_ldm, ldm_parts, taps
from reference import recipe_value

def ldm_shapes(config):
    "Published name → shape of every parameter of the tiny latent diffusion model."
    with torch.device('meta'): parts = ldm_parts(config)
    return {'sd.' + published('text_encoder' if part == 'text' else part, k, module.config): list(v.shape) for part,module in parts.items()
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
    params = dict(zip(official_layout(model), trainable(model).values()))   # the layout's last entry is no parameter
    with torch.no_grad():
        for key,p in params.items():
            if p.ndim: p.copy_(recipe_value('odise.' + key, p.shape))
    return model, params

def vocabulary(config, which='labels'):
    "Names of the README."
    return Vocabulary.read(config[which], isthing=[i in config['thing_ids'] for i in range(len(config[which]))])
