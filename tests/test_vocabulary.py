"Real label lists through the one reader (folder from `ODISE_REAL`, else ../shared/real; skipped where there is neither)."
import os
from pathlib import Path

import pytest

from odise.vocabulary import Vocabulary

REAL = Path(os.environ.get('ODISE_REAL') or Path(__file__).parents[2]/'shared'/'real')
pytestmark = pytest.mark.skipif(not (REAL/'labels').is_dir(), reason=f'{REAL}/labels is not there: set ODISE_REAL to a folder with labels/, coco/ and ade20k_150/')

def read(name): return Vocabulary.read(REAL/'labels'/f'{name}.txt')


@pytest.mark.parametrize('name, classes, strings, seen', [
    ('coco_panoptic', 133, 254, 133), ('ade20k_150', 150, 403, 64), ('ade20k_847', 847, 1342, 101), ('pascal_context_59', 59, 160, 51), ('pascal_voc_21', 21, 153, 21)])
def test_what_counts_as_seen_after_coco(name, classes, strings, seen):
    "The fact sheet's table, exact-match rule."
    trained = read('coco_panoptic_with_prompt_eng')
    vocabulary = read(f'{name}_with_prompt_eng').with_seen(trained)
    assert (len(vocabulary), len(vocabulary.strings), sum(vocabulary.seen)) == (classes, strings, seen)
    assert 'invalid_class_id' not in vocabulary.strings


@pytest.mark.parametrize('name, shared, within', [('coco_panoptic', 0, 0), ('ade20k_150', 0, 1), ('ade20k_847', 45, 1), ('pascal_voc_21', 0, 2)])
def test_strings_that_stand_twice_are_reported(name, shared, within):
    "Between two classes (they tie), and within one (harmless). The fact sheet counts strings too many: 48, 1 and 2."
    vocabulary = read(f'{name}_with_prompt_eng')
    repeated = vocabulary.repeated
    between = [s for s,ids in repeated.items() if len(set(ids)) > 1]
    assert len(vocabulary.strings) - len(set(vocabulary.strings)) == sum(len(ids) - 1 for ids in repeated.values())
    assert (len(between), len(repeated) - len(between)) == (shared, within)


def test_coco_s_categories_say_which_are_things():
    for file in ('categories.json', 'panoptic.json'):
        vocabulary = Vocabulary.read(REAL/'coco'/file)
        assert (len(vocabulary), sum(vocabulary.isthing), vocabulary.ids[-1]) == (133, 80, 200)


def test_both_forms_of_ade_s_table_are_read():
    tables = {e: Vocabulary.read(REAL/'ade20k_150'/f'objectInfo150.{e}') for e in ('csv', 'txt')}
    for table in tables.values(): assert table.ids == tuple(range(1, 151)) and table.names[1] == ('building', 'edifice')
    assert (sum(tables['csv'].isthing), sum(tables['txt'].isthing)) == (115, 150)   # only the first has a column for it
    assert 'double door' in tables['txt'].strings and 'double door' not in tables['csv'].strings   # the published .csv has lost words
