"The workshop's rules: imports point down and pages stay light (that the export is current is a stage of `make test`)."
import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))


def cells_of(nb): return json.loads(nb.read_text())['cells']

def module_of(nb):
    sources = (''.join(c['source']) for c in cells_of(nb))
    return next((m[1] for s in sources if (m := re.match(r'#\|\s*default_exp (\w+)', s))), None)

def imported_by(module):
    "Own modules imported by name, and those taken by `from . import x`."
    tree = ast.parse((ROOT/f'odise/{module}.py').read_text())
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
    return {n.module for n in nodes if n.module} | {a.name for n in nodes if not n.module for a in n.names}


def test_imports_point_down():
    order = [m for nb in NOTEBOOKS if (m := module_of(nb))]
    for i, module in enumerate(order): assert imported_by(module) <= set(order[:i]), module


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=lambda p: p.stem)
def test_page_is_light(nb):
    assert nb.stat().st_size <= 400_000
    for cell in cells_of(nb):
        outputs = cell.get('outputs', [])
        assert len(json.dumps(outputs)) <= 80_000, cell['id']
        assert not any(o.get('name') == 'stderr' or o.get('output_type') == 'error' for o in outputs), cell['id']


def test_all_pages_together_are_light():
    assert sum(nb.stat().st_size for nb in NOTEBOOKS) <= 6_000_000


def test_nothing_below_the_recipe_knows_the_scale():
    below = [m for nb in NOTEBOOKS if (m := module_of(nb)) and nb.name < '20']
    for module in below: assert not re.search(r'\bMICRO\b|\bFULL\b', (ROOT/f'odise/{module}.py').read_text().split('"""', 2)[-1]), module
