"Everything comes from settings.ini; data the package needs is mapped into the wheel as odise/data."
import shlex
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
words = lambda key: shlex.split(cfg.get(key, ''))

# `data/micro`, `data/world`, `data/labels` and `data/weights.json` live at the top of the checkout; in a wheel they are `odise/data/...`.
folders = {'odise.data': 'data'}
for top in ('micro', 'world', 'labels'):
    for folder in [here/'data'/top, *(here/'data'/top).rglob('*')]:
        if folder.is_dir(): folders['.'.join(('odise', *folder.relative_to(here).parts))] = folder.relative_to(here).as_posix()

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'],
    long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    author=cfg['author'], author_email=cfg['author_email'], license='Apache-2.0', url=cfg['git_url'],
    keywords=cfg['keywords'], classifiers=['Programming Language :: Python :: 3'],
    python_requires='>=' + cfg['min_python'],
    packages=find_packages(include=[cfg['lib_path'], cfg['lib_path'] + '.*']) + list(folders),
    package_dir=folders, package_data={name: ['*'] for name in folders} | {'odise.data': ['weights.json']},
    install_requires=words('requirements'), extras_require={'dev': words('dev_requirements'), 'panopticapi': words('panopticapi_requirements'), **{name: [name] for name in words('extras')}},
    entry_points={'console_scripts': cfg['console_scripts'].split(),
                  'nbdev': [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
    zip_safe=False,
)
