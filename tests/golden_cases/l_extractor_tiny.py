"Golden case `l_extractor_tiny`: latents, U-Net output and eight taps of a tiny latent diffusion model under published LDM names."
import re
from pathlib import Path

import torch

from odise.mend import mend_torchvision
mend_torchvision()
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from odise.captioner import EmptyCaptioner, ImplicitCaptioner
from odise.features import unet_features, vae_features
from odise.ldm import FrozenLDM
from e_maskclip import tiny_clip
from reference import Reference, recipe_value

# ------------------------------------------------------------------ published names → diffusers names
RESNET = {'in_layers.0': 'norm1', 'in_layers.2': 'conv1', 'emb_layers.1': 'time_emb_proj',
          'out_layers.0': 'norm2', 'out_layers.3': 'conv2', 'skip_connection': 'conv_shortcut', 'nin_shortcut': 'conv_shortcut'}
ATTENTION = {'norm': 'group_norm', 'q': 'to_q', 'k': 'to_k', 'v': 'to_v', 'proj_out': 'to_out.0'}
TOP = {'time_embed.0': 'time_embedding.linear_1', 'time_embed.2': 'time_embedding.linear_2', 'input_blocks.0.0': 'conv_in',
       'out.0': 'conv_norm_out', 'out.2': 'conv_out', 'middle_block.0': 'mid_block.resnets.0',
       'middle_block.1': 'mid_block.attentions.0', 'middle_block.2': 'mid_block.resnets.1'}


def rename(name, table):
    "Replace a leading part of `name` that `table` knows."
    for old,new in table.items():
        if name == old or name.startswith(old + '.'): return new + name[len(old):]
    return name


def unet_key(key, layers):
    "diffusers name of a parameter below `model.diffusion_model.`; `layers` residual blocks per level."
    place = re.match(r'(input|output)_blocks\.(\d+)\.(\d+)\.(.*)', key)
    if place and not key.startswith('input_blocks.0.'):
        side, n, part, rest = place[1], int(place[2]), int(place[3]), place[4]
        level, j = divmod(n - (side == 'input'), layers + 1)
        block = f"{'down' if side == 'input' else 'up'}_blocks.{level}"
        if rest.startswith('op.'): return f'{block}.downsamplers.0.conv.{rest[3:]}'
        if re.fullmatch(r'conv\.(weight|bias)', rest): return f'{block}.upsamplers.0.{rest}'
        return f'{block}.attentions.{j}.{rest}' if part else f'{block}.resnets.{j}.{rename(rest, RESNET)}'
    key = rename(key, TOP)
    inner = re.match(r'(mid_block\.resnets\.\d)\.(.*)', key)
    return f'{inner[1]}.{rename(inner[2], RESNET)}' if inner else key


def vae_key(key, levels):
    "diffusers name of a parameter below `first_stage_model.`"
    key = re.sub(r'\.norm_out\.', '.conv_norm_out.', key)
    key = re.sub(r'down\.(\d+)\.block\.(\d+)\.', r'down_blocks.\1.resnets.\2.', key)
    key = re.sub(r'down\.(\d+)\.downsample\.', r'down_blocks.\1.downsamplers.0.', key)
    key = re.sub(r'up\.(\d+)\.block\.(\d+)\.', lambda m: f'up_blocks.{levels - 1 - int(m[1])}.resnets.{m[2]}.', key)
    key = re.sub(r'up\.(\d+)\.upsample\.', lambda m: f'up_blocks.{levels - 1 - int(m[1])}.upsamplers.0.', key)
    key = re.sub(r'mid\.block_(\d)\.', lambda m: f'mid_block.resnets.{int(m[1]) - 1}.', key)
    key = re.sub(r'mid\.attn_1\.(.*)', lambda m: 'mid_block.attentions.0.' + rename(m[1], ATTENTION), key)
    return key.replace('nin_shortcut', 'conv_shortcut')


def ldm_key_map(keys, layers, levels):
    "published key → (part, diffusers key) for every key of a single-file latent diffusion model that its parts own."
    out = {}
    for key in keys:
        if m := re.match(r'model\.diffusion_model\.(.*)', key): out[key] = 'unet', unet_key(m[1], layers)
        elif m := re.match(r'first_stage_model\.(.*)', key): out[key] = 'vae', vae_key(m[1], levels)
        elif m := re.match(r'cond_stage_model\.transformer\.(.*)', key): out[key] = 'text', m[1]
    return out


# ------------------------------------------------------------------ the recipe's weights in our modules
def fill(modules, shapes, layers, levels):
    "Give every part of the model its weights; complain about any name left over."
    states = {part: {} for part in modules}
    for key,(part, name) in ldm_key_map((k.removeprefix('sd.') for k in shapes), layers, levels).items():
        states[part][name] = recipe_value('sd.' + key, shapes['sd.' + key])
    for part,module in modules.items():
        own, state = module.state_dict(), states[part]
        if part == 'text' and not any(k.startswith('text_model.') for k in own):
            state = {k.removeprefix('text_model.'): v for k,v in state.items()}
        state = {k: v.reshape(own[k].shape) if k in own and v.numel() == own[k].numel() else v for k,v in state.items()}
        missing, extra = set(own) - set(state), set(state) - set(own)
        if extra or {k for k in missing if not k.endswith('position_ids')}: raise ValueError(f'{part}: missing {sorted(missing)[:4]}, extra {sorted(extra)[:4]}')
        module.load_state_dict(state, strict=False)
    return modules


def ldm_parts(config):
    "The tiny model of the README as fresh diffusers and transformers modules."
    u, v, t = config['sd']['unet'], config['sd']['vae'], config['hf_text']
    attends = [2**i in u['attention_resolutions'] for i in range(len(u['channel_mult']))]
    unet = UNet2DConditionModel(
        in_channels=u['in_channels'], out_channels=u['out_channels'], layers_per_block=u['num_res_blocks'],
        block_out_channels=[u['model_channels']*m for m in u['channel_mult']], cross_attention_dim=u['context_dim'],
        attention_head_dim=u['num_heads'], transformer_layers_per_block=u['transformer_depth'],
        down_block_types=['CrossAttnDownBlock2D' if a else 'DownBlock2D' for a in attends],
        up_block_types=['CrossAttnUpBlock2D' if a else 'UpBlock2D' for a in reversed(attends)])
    vae = AutoencoderKL(
        in_channels=v['in_channels'], out_channels=v['out_ch'], latent_channels=v['z_channels'], layers_per_block=v['num_res_blocks'],
        block_out_channels=[v['ch']*m for m in v['ch_mult']], down_block_types=['DownEncoderBlock2D']*len(v['ch_mult']),
        up_block_types=['UpDecoderBlock2D']*len(v['ch_mult']), scaling_factor=config['sd']['scale_factor'])
    return dict(unet=unet, vae=vae, text=CLIPTextModel(CLIPTextConfig(**t)).eval())


def build_ldm(config, shapes, window):
    "The tiny model with the recipe's weights; `shapes`: of its parameters under published names."
    t = config['hf_text']
    modules = fill(ldm_parts(config), shapes, config['sd']['unet']['num_res_blocks'], len(config['sd']['vae']['ch_mult']))
    schedule = DDIMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear')
    ids = torch.full((1, t['max_position_embeddings']), t['eos_token_id'])
    ids[0, 0] = t['bos_token_id']
    with torch.no_grad(): empty = modules['text'](input_ids=ids).last_hidden_state
    return FrozenLDM(modules['vae'], modules['unet'], empty, schedule.alphas_cumprod, config['sd']['scale_factor'], window)


def build_captioner(ldm, shapes, config):
    "The implicit captioner with the recipe's weights."
    prefix = 'odise.backbone.feature_extractor.'
    time_dim = shapes[prefix + 'alpha_cond_time_embed'][0]
    captioner = ImplicitCaptioner(ldm.empty, clip_dim=config['clip']['embed_dim'], time_dim=time_dim)
    captioner.load_state_dict({k.removeprefix(prefix): recipe_value(k, s) for k,s in shapes.items() if k.startswith(prefix)}, strict=False)
    return captioner


# ------------------------------------------------------------------ the check
def taps(layers, levels):
    "The eight taps under diffusers names, in the order of the case."
    vae = [f'vae.encoder.down_blocks.{levels - 2}.resnets.1', f'vae.encoder.down_blocks.{levels - 1}.resnets.1']
    unet = [f'unet.up_blocks.{i}.resnets.{layers}' for i in range(4)]
    return vae, unet, [f'vae.decoder.up_blocks.{i}.resnets.{layers}' for i in range(2)]


def thin(ours, theirs):
    "Large maps are stored with their first channels, images with every few pixels."
    if ours.shape == theirs.shape: return ours
    steps = [1, 1, *(-(-a//b) for a,b in zip(ours.shape[2:], theirs.shape[2:]))]
    return ours[tuple(slice(None, None, s) for s in steps)][:, :theirs.shape[1]]


def check(folder):
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    data, config = reference.data, reference.info['config']
    size = reference.info['shared_noise']['shape_sha256'][0][-1]
    ldm = build_ldm(config, reference.info['keys']['sd'], size*2**(len(config['sd']['vae']['ch_mult']) - 1))
    clip, captioner = tiny_clip(config['clip']), build_captioner(ldm, reference.info['keys_trainable'], config)
    encoder, unet, decoder = taps(config['sd']['unet']['num_res_blocks'], len(config['sd']['vae']['ch_mult']))

    def compare(name, ours): reference.same(name, thin(ours.detach().to(data[name].dtype), data[name]))

    def features(run, image, *told):
        maps, latent = vae_features(ldm, image, encoder + decoder)
        for i,ours in enumerate(maps[:2] + unet_features(ldm, latent, unet, *told) + maps[2:]): compare(f'{run}_feat_{i}', ours)
        return latent

    compare('uncond_inputs', ldm.empty)
    compare('shared_noise_first8', ldm.noise.flatten()[:8])
    compare('sqrt_alphas_cumprod_0', ldm.alphas_cumprod[0].sqrt())
    compare('sqrt_one_minus_0', (1 - ldm.alphas_cumprod[0]).sqrt())
    runs = sorted(k.removesuffix('_image') for k in data if k.endswith('_image'))
    for run in runs:
        image, (cond, bias) = data[f'{run}_image'], captioner(clip.embed_image(data[f'{run}_image']))
        for name,ours in dict(cond_inputs=cond, cond_emb=bias).items(): compare(f'{run}_{name}', ours)
        latent = features(run, image, cond, bias)
        noisy = ldm.add_noise(latent, 0)
        for name,ours in dict(latent=latent, noisy_latent=noisy).items(): compare(f'{run}_{name}', ours)
        with torch.no_grad(): compare(f'{run}_unet_out', ldm.denoise(noisy, 0, cond, bias[:, 0]))
        with torch.no_grad(): compare(f'{run}_decoded', ldm.vae.decode(latent/ldm.scaling_factor).sample)
        if f'plain{run}_feat_0' in data: features(f'plain{run}', image, *EmptyCaptioner(ldm.empty)(image.new_zeros(len(image), 1)))
    return reference.errors
