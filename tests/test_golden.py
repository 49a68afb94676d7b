"""Our numbers against the reference implementation's, one test per case folder.

Shapes, configuration and tolerance come from a folder's README.json, every input from its data. `python tests/test_golden.py`
prints the parity table: case, largest relative error, tolerance.
"""
import importlib
import json
import os
import sys
from pathlib import Path

import pytest

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here/'golden_cases'))
HELPERS = {'reference', 'tiny_odise'}
CHECKS = {p.stem for p in (here/'golden_cases').glob('*.py')} - HELPERS


def place():
    "`ODISE_GOLDEN`, else ../shared/golden, else the small copy beside the tests."
    if os.environ.get('ODISE_GOLDEN'): return Path(os.environ['ODISE_GOLDEN'])
    return next(p for p in (here.parents[1]/'shared'/'golden', here/'golden') if p.is_dir())

def folder_of(case):
    "A case's folder there, or None."
    return place()/case if (place()/case).is_dir() else None

def folders():
    "Every case folder of that place, and every case that we can check."
    return sorted({p.name for p in place().glob('*') if p.is_dir()} | CHECKS)

def errors_of(case):
    "Name → error of everything a case compares; raises where one is too large."
    if case not in CHECKS: raise LookupError(f'{place()/case}: nothing in tests/golden_cases checks this case; write {case}.py there')
    errors = importlib.import_module(case).check(place()/case)
    assert errors, f'{case} compared nothing'
    return errors

def stated(case):
    "The tolerance in a case's README.json."
    return json.loads((place()/case/'README.json').read_text()).get('tolerance', 'exact')


@pytest.mark.parametrize('case', folders())
def test_golden(case):
    if not place().is_dir(): pytest.fail(f'ODISE_GOLDEN={place()}: no such folder')
    if folder_of(case) is None: pytest.skip(f'{place()} has no folder {case}')
    errors = errors_of(case)
    print(f'\n{case}: largest relative error {max(errors.values()):.1e} of {len(errors)} compared, tolerance {stated(case)}')


def test_a_folder_nobody_checks_fails(tmp_path, monkeypatch):
    monkeypatch.setenv('ODISE_GOLDEN', str(tmp_path))
    (tmp_path/'z_unheard_of').mkdir()
    assert 'z_unheard_of' in folders()
    with pytest.raises(LookupError, match='z_unheard_of'): test_golden('z_unheard_of')


def table(cases=None):
    "The parity table, row by row as the cases are done."
    print(f'| case of {place()} | compared | largest relative error | tolerance |\n|---|---|---|---|')
    for case in cases or folders():
        if folder_of(case) is None: continue
        errors = errors_of(case)
        print(f'| `{case}` | {len(errors)} | {max(errors.values()):.1e} | {stated(case)} |', flush=True)


if __name__ == '__main__': table(sys.argv[1:])
