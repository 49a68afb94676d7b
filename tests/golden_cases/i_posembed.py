"The 2-D sine embedding against the reference, with and without padding."
import json, re
from pathlib import Path
import torch
from safetensors.torch import load_file
from odise.pixel_decoder import sine_position

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    info = json.loads((folder/'README.json').read_text())
    rtol,atol = map(float, re.findall(r'1e-\d', info['tolerance']))
    data,errors = load_file(folder/'data.safetensors'),{}
    def same(name, got):
        want = data[name]
        errors[name] = ((got - want).abs()/(want.abs() + atol/rtol)).max().item()
        assert got.shape == want.shape and errors[name] <= rtol, f'{name}: error {errors[name]:.2e}'
    cases = re.findall(r'\((\d+),(\d+),(\d+),(True|False)\)', info['cases'])
    for i,(half,h,w,normalize) in enumerate(cases):
        setting = dict(h=int(h), w=int(w), d=2*int(half), normalize=normalize == 'True')
        same(f'{i}_pos', sine_position(**setting).expand(len(data[f'{i}_pos']), -1, -1, -1))
        same(f'{i}_pos_masked', sine_position(**setting, padding=data[f'{i}_mask']))
    return errors
