"The 2-D sine embedding against the reference, with and without padding."
import re
from pathlib import Path
from odise.pixel_decoder import sine_position
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
    cases = re.findall(r'\((\d+),(\d+),(\d+),(True|False)\)', info['cases'])
    for i,(half,h,w,normalize) in enumerate(cases):
        setting = dict(h=int(h), w=int(w), d=2*int(half), normalize=normalize == 'True')
        same(f'{i}_pos', sine_position(**setting).expand(len(data[f'{i}_pos']), -1, -1, -1))
        same(f'{i}_pos_masked', sine_position(**setting, padding=data[f'{i}_mask']))
    return errors
