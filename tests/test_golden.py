"Our numbers against the reference implementation's, case by case (inputs, configuration and tolerance come from each folder)."
import importlib
import os
import sys
from pathlib import Path

import pytest

here = Path(__file__).parent
sys.path.insert(0, str(here/'golden_cases'))
CASES = sorted(p.stem for p in (here/'golden_cases').glob('*.py') if p.stem != 'reference')


def folder_of(case):
    "`ODISE_GOLDEN`, else ../shared/golden, else the small copy beside the tests."
    places = [os.environ.get('ODISE_GOLDEN'), here.parents[1]/'shared'/'golden', here/'golden']
    return next((Path(p)/case for p in places if p and (Path(p)/case).is_dir()), None)


@pytest.mark.parametrize('case', CASES)
def test_golden(case):
    folder = folder_of(case)
    if folder is None: pytest.skip(f'{case}: no folder in ODISE_GOLDEN or ../shared/golden, and too large for tests/golden')
    errors = importlib.import_module(case).check(folder)
    assert errors, f'{case} compared nothing'
