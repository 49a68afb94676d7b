"The pixel decoder against the reference: features, memory, first offsets."
from pathlib import Path
import torch
from odise.pixel_decoder import PixelDecoder
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
    config = info['config']
    stride = {name: 2**int(name[1:]) for name in config['in_features']}
    model = PixelDecoder(config['in_channels'], config['conv_dim'], tuple(stride.values()), config['enc_layers'],
                         config['nheads'], ffn=config['ffn']).eval()
    for layer in model.transformer.encoder['layers']:
        same('init_sampling_offsets_bias', layer.self_attn.sampling_offsets.bias.detach())
        assert not layer.self_attn.sampling_offsets.weight.any() and not layer.self_attn.attention_weights.weight.any()
    model.load_state_dict({k.removeprefix('sd.'): v for k,v in data.items() if k.startswith('sd.')})
    with torch.no_grad(): mask_features,memory = model({s: data[f'in_{name}'].float() for name,s in stride.items()})
    same('mask_features', mask_features)
    same('transformer_encoder_features', memory[0])
    for i,level in enumerate(memory): same(f'ms_{i}', level)
    return errors
