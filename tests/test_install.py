"`pip install .` gives a package that works without the checkout: the wheel carries weights, world and label files."
import importlib.util
import os
import shutil
import site
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CARRIED = ('micro', 'world', 'labels')
TRY = '''
import sys
import odise
from odise import ODISE, Vocabulary
from odise.world import data_path, scene
names = Vocabulary.read(data_path('labels', 'world.txt'))
result = ODISE.from_pretrained('micro').segment(scene('val', 4).image, names)
print(odise.__file__, data_path('world'), len(names), *result.panoptic.shape, sep='|')
'''


def run(*words, cwd):
    env = {k: v for k,v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

def tracked():
    "Files git has or would take; they are copied, so that building leaves nothing in the checkout."
    listed = run('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', cwd=ROOT)
    return [f for f in listed.split('\0') if f and (ROOT/f).is_file()]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    home = tmp_path_factory.mktemp('wheel')
    for f in tracked():
        (home/'copy'/f).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT/f, home/'copy'/f)
    source, here = home/'copy', []
    if importlib.util.find_spec('setuptools'):     # by way of a source archive, which must hold all that the build reads
        run(sys.executable, 'setup.py', '-q', 'sdist', '-d', home, cwd=source)
        source, here = next(home.glob('*.tar.gz')), ['--no-build-isolation']
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', *here, '-w', home, source, cwd=home)
    shutil.rmtree(home/'copy')
    return next(home.glob('*.whl'))


@pytest.fixture(scope='module')
def away(wheel, tmp_path_factory):
    "A fresh environment that sees the dependencies but, its .pth file being read once, no editable install."
    home = tmp_path_factory.mktemp('away')
    run(sys.executable, '-m', 'venv', '--without-pip', home/'venv', cwd=home)
    libraries = run(home/'venv/bin/python', '-c', "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    (Path(libraries)/'dependencies.pth').write_text('\n'.join(site.getsitepackages()))
    run(sys.executable, '-m', 'pip', '--python', home/'venv/bin/python', 'install', '-q', '--no-deps', '--ignore-installed', wheel, cwd=home)
    return home


def test_the_wheel_holds_what_the_package_needs_and_no_more(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = tracked()
    assert {f'odise/{f}' for f in files if f.startswith(tuple(f'data/{top}/' for top in CARRIED))} <= held
    assert {f for f in files if f.startswith('odise/') and f.endswith('.py')} <= held
    for name in ('micro/clip/open_clip_model.safetensors', 'micro/label/model.safetensors', 'world/noto/atlas.webp', 'world/noto/LICENSE', 'labels/world.txt'):
        assert f'odise/data/{name}' in held
    assert not [f for f in held if f.endswith('.ipynb') or f.split('/')[0] in ('tests', 'nbs', 'data')]
    assert {f.split('/')[2] for f in held if f.startswith('odise/data/')} == {*CARRIED, 'weights.json'}
    assert wheel.stat().st_size < 60e6


def test_the_wheel_says_what_settings_say(wheel):
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    about, commands = (zipfile.ZipFile(wheel).read(next(f for f in zipfile.ZipFile(wheel).namelist() if f.endswith(end))).decode()
                       for end in ('/METADATA', '/entry_points.txt'))
    assert f"Version: {ini['DEFAULT']['version']}\n" in about
    assert about.count('Requires-Dist: torch>=') == 1 and 'Requires-Dist: fastcore' in about
    for command in ini['DEFAULT']['console_scripts'].split(): assert command.split('=')[0] + ' = ' in commands


def test_it_segments_a_scene_far_from_the_checkout(away):
    where, data, *numbers = run(away/'venv/bin/python', '-c', TRY, cwd=away).strip().splitlines()[-1].split('|')
    assert Path(where).is_relative_to(away) and Path(data).is_relative_to(away)
    assert numbers == ['80', '64', '64']


def test_its_console_scripts_answer(away):
    installed = {p.name for p in (away/'venv/bin').glob('odise_*')}
    assert {'odise_segment', 'odise_world', 'odise_train', 'odise_eval', 'odise_demo', 'odise_pretrain'} <= installed
    assert 'usage: odise_segment' in run(away/'venv/bin/odise_segment', '--help', cwd=away)
