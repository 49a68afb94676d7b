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
