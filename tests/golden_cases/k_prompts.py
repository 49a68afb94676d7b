"Prompt templates against the reference."
import json
from pathlib import Path
from odise.text import PROMPTS, prompt

def check(folder:Path)->dict:
    "Zero per template; raises at the first difference."
    info,errors = json.loads((folder/'README.json').read_text()),{}
    names = info['templates']['None']
    for key,want in info['templates'].items():
        got = [prompt(n, PROMPTS['none' if key == 'None' else key]) for n in names]
        assert got == want, f'{key}: {got}'
        errors[key] = 0.
    return errors
