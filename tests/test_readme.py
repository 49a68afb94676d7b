"What README.md tells a newcomer to type works."
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TEXT = (ROOT/'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'^```(\w+)\n(.*?)^```', TEXT, re.M | re.S)
TARGETS = sorted(set(re.findall(r'\bmake (\w+)', TEXT)))
COMMANDS = sorted(set(re.findall(r'\bodise_\w+', TEXT)))


def test_the_readme_has_its_blocks():
    assert [language for language,_ in BLOCKS] == ['sh', 'python']
    assert {'demo', 'test', 'lab'} <= set(TARGETS)


def test_every_line_of_shell_is_a_command_we_know():
    for line in (l.split('#')[0].strip() for language,code in BLOCKS if language == 'sh' for l in code.splitlines()):
        assert re.fullmatch(r'make \w+', line), line


@pytest.mark.parametrize('target', TARGETS)
def test_make_knows_the_target(target):
    done = subprocess.run(['make', '-n', target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_all_commands_are_named():
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    assert COMMANDS == sorted(c.split('=')[0] for c in ini['DEFAULT']['console_scripts'].split())


@pytest.mark.parametrize('command', COMMANDS)
def test_command_answers_help(command):
    done = subprocess.run([Path(sys.executable).with_name(command), '--help'], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f'usage: {command}'), done.stderr


def test_three_lines_of_python_run(tmp_path, monkeypatch):
    code = next(code for language,code in BLOCKS if language == 'python')
    assert len(code.splitlines()) == 3
    monkeypatch.chdir(tmp_path)
    matplotlib.use('Agg')
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)).save('picture.png')
    known = {}
    exec(compile(code, 'README.md', 'exec'), known)
    result = known['model'].name(known['model'].look('picture.png'), 'dog; pizza, slice of pizza; grass')
    assert result.panoptic.shape == (64, 96)


def test_links_and_the_picture_are_there():
    links = re.findall(r'\]\(([^)]+)\)', TEXT)
    assert links and not [l for l in links if not (ROOT/l).exists()]
    picture = ROOT/re.search(r'!\[[^]]*\]\(([^)]+)\)', TEXT)[1]
    assert picture.stat().st_size <= 80_000 and Image.open(picture).format == 'JPEG'
