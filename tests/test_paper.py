"The published numbers: one file, equal to the fact sheet where that is at hand, and the only place pages take them from."
import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from fastcore.script import anno_parser

ROOT = Path(__file__).parents[1]
PAPER = pd.read_csv(ROOT/'data/results/paper.csv', dtype=dict(value=str)).fillna('')
FACTS = ROOT.parent/'shared'/'odise-facts.md'
KEY = ['table', 'method', 'supervision', 'dataset', 'metric']
TABLES = {'8.1': 'panoptic', '8.2': 'semantic', '8.3': 'representation', '8.4': 'captioner'}
NUMBER = r'\d+\.\d+'


def stored(table): return sorted(map(float, PAPER[PAPER.table == table].value))

def section(number):
    "A section of the fact sheet."
    return FACTS.read_text(encoding='utf-8').split(f'### {number} ')[1].split('\n##')[0]

def rows_of(number):
    "Cells of a section's table."
    lines = [line for line in section(number).splitlines() if line.startswith('|')][2:]
    return [[cell.strip(' *') for cell in line.strip('|').split('|')] for line in lines]


def test_every_row_says_what_it_is():
    assert list(PAPER) == [*KEY, 'value', 'source', 'verified', 'note']
    assert not PAPER.duplicated(KEY).any()
    assert set(PAPER.verified) == {'yes', 'no'} and (PAPER.source != '').all() and (PAPER.metric != '').all()
    assert PAPER.value.str.fullmatch(NUMBER).all()


def test_what_the_fact_sheet_doubts_is_not_verified():
    doubtful = PAPER[PAPER.verified == 'no']
    assert set(doubtful.method) == {'DeiT-v3 (H)', 'BEiT-v2 (H)'} and len(doubtful) == 12
    assert doubtful.note.str.contains('likely an extraction error').all()


needs_facts = pytest.mark.skipif(not FACTS.is_file(), reason=f'{FACTS} is not there')

@needs_facts
@pytest.mark.parametrize('number', TABLES)
def test_tables_hold_the_numbers_of_the_fact_sheet_and_no_others(number):
    told = sorted(float(n) for row in rows_of(number) for cell in row[1:] for n in re.findall(NUMBER, cell))
    assert stored(TABLES[number]) == told and told


@needs_facts
def test_the_two_tables_agree_cell_by_cell():
    value = PAPER.set_index(KEY).value
    for method, supervision, *cells in rows_of('8.1'):
        for i,cell in enumerate(cells):
            at = 'panoptic', method, supervision, ('ADE20K', 'COCO')[i//3], ('PQ', 'mAP', 'mIoU')[i % 3]
            assert value.get(at, '–') == cell, at
    supervision, columns = None, ('A-847', 'PC-459', 'A-150', 'PC-59', 'PAS-21', 'COCO')
    for method, *cells in rows_of('8.2'):
        if 'supervision' in method: supervision = 'caption' if 'caption' in method else 'label'
        else:
            for column,cell in zip(columns, cells):
                at = 'semantic', method.split(' (')[0], supervision, column, 'mIoU'
                assert value.get(at, '–') == cell, at


@needs_facts
def test_later_numbers_and_the_abstract_are_those_of_the_fact_sheet():
    told = sorted(float(n) for row in rows_of('8.5') for n in re.findall(NUMBER, row[0].split(' alone')[-1]) if n not in ('0.4', '0.8'))
    assert sorted(stored('speed') + stored('follow-up')) == told
    abstract = re.search(rf'abstract quotes ({NUMBER}) PQ and ({NUMBER}) mIoU', section('8.1')).groups()
    assert stored('abstract') == sorted(map(float, abstract))


PAGE = json.loads((ROOT/'nbs/32_open_vocabulary.ipynb').read_text(encoding='utf-8'))['cells']
OURS = PAPER[(PAPER.method == 'ODISE') & PAPER.table.isin(['panoptic', 'semantic'])]

def source(cell): return ''.join(cell['source'])

def shown(name):
    "What a cell of the page displays as text."
    cell = next(c for c in PAGE if c['id'] == name)
    return '\n'.join(''.join(o['data']['text/plain']) for o in cell['outputs'] if 'text/plain' in o.get('data', {}))

@pytest.fixture(scope='module')
def page():
    "The page's definitions, run without its figures."
    known = {}
    for cell in PAGE:
        if cell['id'] in ('imports', 'paper', 'published', 'commands'): exec(compile(source(cell), cell['id'], 'exec'), known)
    return known


def test_the_page_has_a_cell_for_every_number_of_the_two_tables_and_no_other(page):
    asked = page['cells'].rename(columns=dict(value='said')).assign(method='ODISE').set_index(KEY)
    assert sorted(asked.index) == sorted(OURS.set_index(KEY).index) and len(asked) == 24
    assert (asked.said == OURS.set_index(KEY).value).all()


def test_every_command_of_the_page_is_read_by_its_own_parser(page):
    from odise import cli
    for line in [*page['cells'].prepare, *page['cells'].evaluate]:
        name, *words = shlex.split(line)
        anno_parser(getattr(cli, name).__wrapped__, name).parse_args(words)


def test_two_cells_share_a_command_only_where_one_report_has_both(page):
    asked = page['cells']
    for _,group in asked[asked.table == 'panoptic'].groupby('evaluate'): assert group.column.is_unique
    for (_, supervision),group in asked.groupby(['evaluate', 'supervision']): assert group.groupby('column').value.nunique().max() == 1


@pytest.mark.parametrize('table, name', [('panoptic', 'panoptic'), ('semantic', 'semantic')])
def test_what_the_page_displays_is_in_the_file(table, name):
    told = re.findall(NUMBER, shown(name))
    assert sorted(told) == sorted(PAPER[PAPER.table == table].value)


def test_no_published_number_is_typed_into_a_page_that_reads_the_file():
    published = set(PAPER.value)
    for path in sorted((ROOT/'nbs').glob('[0-9]*.ipynb')):
        cells = json.loads(path.read_text(encoding='utf-8'))['cells']
        if not any('paper.csv' in source(c) for c in cells if c['cell_type'] == 'code'): continue
        typed = {n for c in cells if c['cell_type'] == 'code' for n in re.findall(r'(?<![\w.])\d+\.\d(?!\d)', re.sub(r'figsize=\(.*?\)', '', source(c)))}
        assert not {n for n in typed & published if float(n) >= 5}, path.name
