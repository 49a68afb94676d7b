"Noun phrases of thirty tagged captions against the reference, its quirks included."
import json
from pathlib import Path
from odise.text import chunks, cut, noun_phrases

def check(folder:Path)->dict:
    "Zero per caption; raises at the first difference."
    errors = {}
    for result in json.loads((folder/'README.json').read_text())['results']:
        tagged,caption = [tuple(t) for t in result['pos']],result['caption']
        for kind,preposition in (('without', False), ('with', True)):
            got = cut(tagged, chunks(tagged, preposition), keep_quirks=True)
            assert got == result[f'phrases_{kind}_preposition_in_order'], f'{caption!r}: {got}'
        got = sorted(noun_phrases(caption, tagger=lambda _: tagged, keep_quirks=True))
        assert got == result['noun_phrase_set_sorted'], f'{caption!r}: {got}'
        errors[caption or '(empty)'] = 0.
    return errors
