"Bad input ends in one line that names the file, the value and the remedy, with a non-zero exit and nothing half-written."
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odise.cli import odise_demo, odise_eval, odise_pretrain, odise_segment, odise_train, odise_world
from odise.files import read_tensors, write_tensors
from odise.names import data_path


def refuse(command, *words, says, out, **options):
    "Call a command in this process: it must leave by `sys.exit` with one line that holds all of `says`, and no file."
    with pytest.raises(SystemExit) as left: command(*words, out=out, **options)
    line = left.value.code
    assert isinstance(line, str) and '\n' not in line and line.startswith(f'{command.__name__}: ')
    for part in says: assert str(part) in line, line
    assert not out.exists()

def program(name, *words, cwd):
    "The same by its console script."
    done = subprocess.run([Path(sys.executable).with_name(name), *words], capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout + done.stderr

def noise(height, width): return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def box(tmp_path_factory):
    "Pictures, good and bad."
    box = tmp_path_factory.mktemp('pictures')
    Image.fromarray(noise(64, 64)).save(box/'good.png')
    Image.fromarray(noise(8, 64)).save(box/'thin.png')
    Image.fromarray(noise(200, 200)).save(box/'whole.jpg')
    (box/'cut.jpg').write_bytes((box/'whole.jpg').read_bytes()[:9000])
    (box/'text.png').write_text('hello')
    (box/'empty.png').write_bytes(b'')
    return box


def model_folder(folder, change=None, config=None):
    "A copy of the embedded head, its tensors changed."
    tensors, facts = read_tensors(data_path('micro', 'label')/'model.safetensors')
    if change: change(tensors)
    write_tensors(folder/'model.safetensors', tensors, facts)
    (folder/'config.json').write_text(json.dumps(config or json.loads((data_path('micro', 'label')/'config.json').read_text())))
    return folder

def coco_folder(folder, **changes):
    "One picture with two segments, in COCO's format."
    for name in ('images', 'panoptic'): (folder/name).mkdir(parents=True)
    ids = np.zeros((64, 64, 3), np.uint8)
    ids[:, :32, 0], ids[:, 32:, 0] = 1, 2
    Image.fromarray(noise(64, 64)).save(folder/'images'/'a.png')
    Image.fromarray(ids).save(folder/'panoptic'/'a.png')
    segments = [dict(id=1, category_id=1), dict(id=2, category_id=2)]
    table = dict(images=[dict(id=1, file_name='a.png', height=64, width=64)], annotations=[dict(image_id=1, file_name='a.png', segments_info=segments)],
                 categories=[dict(id=1, name='dog', isthing=1), dict(id=2, name='grass', isthing=0)])
    (folder/'panoptic.json').write_text(json.dumps(table | changes))
    return folder


@pytest.mark.parametrize('name, says', [
    ('nowhere.png', 'give the path of a picture'), ('text.png', 'save it again as PNG or JPEG'),
    ('empty.png', 'save it again as PNG or JPEG'), ('cut.jpg', 'truncated')])
def test_a_picture_that_is_none(box, tmp_path, name, says):
    refuse(odise_segment, str(box/name), says=[box/name, says], out=tmp_path/'out')


def test_a_picture_of_unreasonable_size(box, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    refuse(odise_segment, str(box/'good.png'), says=['good.png', '4096 pixels'], out=tmp_path/'out')


def test_a_picture_too_small_to_see(box, tmp_path):
    refuse(odise_segment, str(box/'thin.png'), 'dog', says=['8×64', 'at least 16'], out=tmp_path/'out')


def test_no_words(box, tmp_path):
    for nothing in ('', ' ; '): refuse(odise_segment, str(box/'good.png'), nothing, says=['empty', "give at least one name, as in 'dog"], out=tmp_path/'out')
    (tmp_path/'names.txt').write_text('dog, cat\n')
    refuse(odise_segment, str(box/'good.png'), str(tmp_path/'names.txt'), says=['names.txt, line 1', 'id:name1,name2'], out=tmp_path/'out')
    refuse(odise_segment, str(box/'good.png'), 'gone.txt', says=['gone.txt', 'give a label file'], out=tmp_path/'out')


def test_a_head_with_a_tensor_missing_or_misshapen(box, tmp_path):
    key = sorted(read_tensors(data_path('micro', 'label')/'model.safetensors')[0])[0]
    def misshape(tensors): tensors[key] = tensors[key].new_zeros(3)
    for name,change,says in (('short', lambda tensors: tensors.pop(key), 'is missing'), ('bent', misshape, 'has shape (3,) instead of')):
        folder = model_folder(tmp_path/name, change)
        refuse(odise_segment, str(box/'good.png'), 'dog', model=folder, says=[folder/'model.safetensors', key, says, 'save the model again'], out=tmp_path/'out')


def test_a_head_cut_short_or_gone(box, tmp_path):
    folder = model_folder(tmp_path/'cut')
    weights = folder/'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    refuse(odise_segment, str(box/'good.png'), 'dog', model=folder, says=[weights, 'not a readable safetensors file', 'fetch or train it again'], out=tmp_path/'out')
    weights.unlink()
    refuse(odise_segment, str(box/'good.png'), 'dog', model=folder, says=[weights, 'no such file', 'train first'], out=tmp_path/'out')
    refuse(odise_segment, str(box/'good.png'), 'dog', model='nowhere', says=['nowhere/config.json', 'odise_train'], out=tmp_path/'out')


def test_a_giant_with_a_tensor_missing_or_misshapen(box, tmp_path):
    weights = tmp_path/'ldm'/'unet'/'diffusion_pytorch_model.safetensors'
    shutil.copytree(data_path('micro', 'ldm'), tmp_path/'ldm')
    config = json.loads((data_path('micro', 'label')/'config.json').read_text())
    config['recipe']['eye']['ldm'] = str(tmp_path/'ldm')
    folder = model_folder(tmp_path/'head', config=config)
    for change in (lambda tensors: tensors.update({'conv_in.bias': tensors['conv_in.bias'].new_zeros(3)}), lambda tensors: tensors.pop('conv_in.bias')):
        tensors, _ = read_tensors(weights)
        change(tensors)
        write_tensors(weights, tensors)
        refuse(odise_segment, str(box/'good.png'), 'dog', model=folder, says=[weights, 'conv_in.bias', 'copy or convert it again'], out=tmp_path/'out')


@pytest.mark.parametrize('n', [0, -3])
def test_a_world_without_scenes(tmp_path, n):
    refuse(odise_world, 'val', n=n, says=[f"{n} scenes of 'val'", 'ask for at least 1'], out=tmp_path/'out')
    refuse(odise_world, 'test', says=["'test'", 'web, train, dev, val, shift'], out=tmp_path/'out')


@pytest.mark.parametrize('command', [odise_eval, odise_train])
def test_a_data_set_without_pictures(tmp_path, command):
    refuse(command, data='nowhere', says=['nowhere', 'expected images/'], out=tmp_path/'out')
    folder = coco_folder(tmp_path/'none', images=[], annotations=[])
    refuse(command, data=str(folder), says=[folder/'panoptic.json', 'no images', 'at least one'], out=tmp_path/'out')


def test_a_data_set_with_a_picture_or_a_category_gone(tmp_path):
    folder = coco_folder(tmp_path/'set')
    (folder/'images'/'a.png').unlink()
    refuse(odise_eval, data=str(folder), says=[folder/'images'/'a.png', 'give the path'], out=tmp_path/'out')
    folder = coco_folder(tmp_path/'other', categories=[dict(id=1, name='dog', isthing=1)])
    refuse(odise_eval, data=str(folder), says=[folder/'panoptic'/'a.png', 'categories [2] are not in the list'], out=tmp_path/'out')


def test_a_file_where_results_are_to_go(box, tmp_path):
    (tmp_path/'note.txt').write_text('a file')
    for command,words in ((odise_segment, [str(box/'good.png'), 'dog']), (odise_world, ['val']), (odise_eval, []), (odise_train, []), (odise_demo, []), (odise_pretrain, ['vae'])):
        refuse(command, *words, says=[tmp_path/'note.txt', 'is a file', 'give a folder'], out=tmp_path/'note.txt'/'deep')
    assert (tmp_path/'note.txt').read_text() == 'a file' and len(list(tmp_path.iterdir())) == 1


def test_a_run_that_cannot_learn(tmp_path):
    data = str(coco_folder(tmp_path/'set'))
    refuse(odise_train, data=data, supervision='hope', says=["'hope'", "'label', 'caption' or 'both'"], out=tmp_path/'out')
    refuse(odise_train, data=data, supervision='caption', says=['a.png has no caption', 'captions.json'], out=tmp_path/'out')
    refuse(odise_train, data=data, heard=data, says=['a.png has no caption to hear', '--heard'], out=tmp_path/'out')
    refuse(odise_train, data=data, heard='nowhere', says=['nowhere'], out=tmp_path/'out')
    refuse(odise_train, data=data, heard='web', heard_n=0, says=["0 scenes of 'web'", 'at least 1'], out=tmp_path/'out')
    for name in ('steps', 'batch', 'queries', 'short_side'):
        refuse(odise_train, data=data, **{name: 0}, says=[f'--{name} 0', 'at least 1'], out=tmp_path/'out')
    refuse(odise_pretrain, 'sd', says=["'sd'", "'clip', 'vae', 'unet' or 'rival'"], out=tmp_path/'out')
    refuse(odise_pretrain, ['rival', 'bert'], says=["'bert'", 'unconditional, supervised, mae'], out=tmp_path/'out')
    refuse(odise_pretrain, ['rival'], says=['by name', 'odise_pretrain rival mae'], out=tmp_path/'out')
    refuse(odise_pretrain, 'vae', steps=0, says=['--steps 0', 'at least 1'], out=tmp_path/'out')
    refuse(odise_demo, n=0, says=['0 scenes', 'at least 1'], out=tmp_path/'out')


def test_results_that_are_not_there(tmp_path):
    refuse(odise_eval, gt=tmp_path/'gt.json', says=['--gt also needs --gt_dir and --pred'], out=tmp_path/'out')
    refuse(odise_eval, gt=tmp_path/'gt.json', gt_dir=tmp_path, pred=tmp_path/'p.json', pred_dir=tmp_path, says=[tmp_path/'gt.json'], out=tmp_path/'out')


def test_the_console_scripts_say_it_in_one_line(box, tmp_path):
    for name,words in (('odise_segment', [box/'text.png']), ('odise_world', ['--n', '0', '--out', tmp_path/'world'])):
        code, said = program(name, *words, cwd=tmp_path)
        assert code == 1 and said.startswith(f'{name}: ') and len(said.splitlines()) == 1, said
    assert not list(tmp_path.iterdir())
