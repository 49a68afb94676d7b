"Every data set into the one format: the real fragments (folder from `ODISE_REAL`, else ../shared/real), or tiny files of the published layout."
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odise import datasets
from odise.cli import odise_datasets
from odise.data import PanopticDataset
from odise.datasets import labels_of, prepare, read_map, verify
from odise.image import id2rgb, rgb2id
from odise.text import Vocabulary

REAL = Path(os.environ.get('ODISE_REAL') or Path(__file__).parents[2]/'shared'/'real')
real = pytest.mark.skipif(not REAL.is_dir(), reason=f'{REAL} is not there: set ODISE_REAL to a folder with coco/, ade20k_150/, ade20k_full/ and labels/')
LISTS = dict(coco_panoptic=(133, 80), ade20k_150=(150, 100), pascal_context_59=(59, 34), pascal_voc_21=(21, 20))


def save(path, x, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(x), mode).save(path) if mode else Image.fromarray(np.asarray(x)).save(path)

def photo(path, shape):
    save(path, np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8))

def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table if isinstance(table, str) else json.dumps(table))

def classes_of(folder, i=0):
    "`H W` category ids as the data set class reads them, 0 where void; and how many segments each has."
    sample = PanopticDataset(folder)[i]
    out = np.zeros(sample.panoptic.shape, int)
    for s in sample.segments_info: out[sample.panoptic.numpy() == s['id']] = s['category_id']
    return out, Counter(s['category_id'] for s in sample.segments_info)


@pytest.mark.parametrize('name', LISTS)
def test_lists_of_names(name):
    rows = labels_of(name)
    strings = [s for c in rows for s in (c['name'], *c['synonyms'])]
    assert (len(rows), sum(c['isthing'] for c in rows)) == LISTS[name]
    assert all(c['supercategory'] for c in rows)
    assert [s for s,n in Counter(strings).items() if n > 1] == []
    vocabulary = Vocabulary.read(rows)
    assert vocabulary.ids == tuple(c['id'] for c in rows) and vocabulary.strings == tuple(strings)


@real
def test_lists_agree_with_the_published_ones():
    for name in LISTS:    # ids as OpenSeg's label files have them, so that these can be given instead
        lines = (REAL/'labels'/f'{name}.txt').read_text().splitlines()
        assert {int(line.split(':')[0]) for line in lines if 'invalid' not in line} == {c['id'] for c in labels_of(name)}
    facts = [(c['id'], c['name'], c['isthing'], c['supercategory']) for c in json.loads((REAL/'coco'/'categories.json').read_text())]
    assert [(c['id'], c.get('official', c['name']), c['isthing'], c['supercategory']) for c in labels_of('coco_panoptic')] == facts
    named = [line.split('\t')[4].split(',')[0].strip() for line in (REAL/'ade20k_150'/'objectInfo150.txt').read_text().splitlines()[1:]]
    assert [(n, c['name']) for n,c in zip(named, labels_of('ade20k_150'), strict=True) if n != c['name']] == [('television', 'television receiver')]
    pairs = {tuple(map(int, line.split()[:2])) for line in (REAL/'ade20k_150'/'ade20k_instance_catid_mapping.txt').read_text().splitlines()[1:]}
    assert pairs == set(enumerate((c['id'] for c in labels_of('ade20k_150') if c['isthing']), 1))


@real
def test_coco_panoptic_keeps_every_pixel(tmp_path):
    told = prepare('coco_panoptic', REAL/'coco', tmp_path/'out')
    assert (told['pictures'], told['segments'], told['crowds']) == (2, 50, 3)
    table = json.loads((REAL/'coco'/'panoptic.json').read_text())
    data = PanopticDataset(tmp_path/'out')
    assert [c['id'] for c in data.categories] == [c['id'] for c in table['categories']] and 'brick wall' in {c['name'] for c in data.categories}
    for sample, annotation in zip(data, table['annotations'], strict=True):
        source = rgb2id(np.array(Image.open(REAL/'coco'/'panoptic'/annotation['file_name'])))
        assert (sample.panoptic.numpy() == source).all()
        keys = ('id', 'category_id', 'area', 'bbox', 'iscrowd')
        assert [[s[k] for k in keys] for s in sample.segments_info] == [[s[k] for k in keys] for s in annotation['segments_info']]


@real
def test_coco_as_it_is_downloaded(tmp_path):
    "Zip of maps, captions in another file: the same maps, and sentences joined by image id."
    src, table = tmp_path/'src', json.loads((REAL/'coco'/'panoptic.json').read_text())
    write(src/'annotations'/'panoptic_val2017.json', table)
    said = [dict(image_id=r['id'], id=i, caption=f' number {r["id"]}\n') for i,r in enumerate(table['images'])]
    write(src/'annotations'/'captions_val2017.json', dict(images=table['images'], annotations=said))
    with zipfile.ZipFile(src/'annotations'/'panoptic_val2017.zip', 'w') as box:
        for p in (REAL/'coco'/'panoptic').iterdir(): box.write(p, f'panoptic_val2017/{p.name}')
    (src/'val2017').symlink_to(REAL/'coco'/'images')
    told, flat = prepare('coco_panoptic', src, tmp_path/'out'), prepare('coco_panoptic', REAL/'coco', tmp_path/'flat')
    assert {k: told['sha256'][k] == flat['sha256'][k] for k in told['sha256']} == dict(images=True, maps=True, segments=True, captions=False)
    assert [s.captions for s in PanopticDataset(tmp_path/'out')] == [[f'number {r["id"]}'] for r in table['images']]


@real
def test_coco_instances_give_the_panoptic_segments(tmp_path):
    "The fragment's instances were made from its panoptic maps: painted again they must be the same regions."
    for name in ('coco_instances', 'coco_panoptic'): prepare(name, REAL/'coco', tmp_path/name)
    for a,b in zip(*(PanopticDataset(tmp_path/n) for n in ('coco_instances', 'coco_panoptic'))):
        pairs = np.unique(np.stack([a.panoptic.numpy().ravel(), b.panoptic.numpy().ravel()]), axis=1)
        assert pairs.shape[1] == len(a.segments_info) + 1 == len(b.segments_info) + 1
        of = {s['id']: (s['category_id'], s['iscrowd'], s['area']) for s in b.segments_info}
        assert {int(i): of[int(j)] for i,j in pairs.T if i} == {s['id']: (s['category_id'], s['iscrowd'], s['area']) for s in a.segments_info}


@real
def test_ade20k_semantic_keeps_every_pixel(tmp_path):
    told = prepare('ade20k_semantic', REAL/'ade20k_150', tmp_path/'out')
    assert (told['pictures'], told['segments'], told['classes']) == (2, 13, 8)
    for i,p in enumerate(sorted((REAL/'ade20k_150'/'annotations'/'validation').iterdir())):
        assert (classes_of(tmp_path/'out', i)[0] == np.array(Image.open(p))).all()


@real
def test_ade20k_full_finds_its_847_names(tmp_path):
    "Every name of the two real scenes is in the list, the void of the maps stays void, and both lists of names give the same regions."
    told = prepare('ade20k_full', REAL/'ade20k_full', tmp_path/'out', split='train', labels=REAL/'labels'/'ade20k_847.txt')
    every = prepare('ade20k_full', REAL/'ade20k_full', tmp_path/'every', split='train')
    assert (told['pictures'], told['segments'], told['classes']) == (every['pictures'], every['segments'], every['classes']) == (2, 71, 21)
    assert told['void'] == every['void'] and told['sha256']['images'] == every['sha256']['images']
    data = PanopticDataset(tmp_path/'out')
    assert len(data.categories) == 847 and [min(s.panoptic.shape) for s in data] == [512, 512]
    seg = read_map(next((REAL/'ade20k_full').rglob('*16869_seg.png')), short_side=512)
    found, name = classes_of(tmp_path/'out')[0], {c['name']: c['id'] for c in data.categories}
    numbers = seg[..., 0]//10*256 + seg[..., 1]
    assert ((found == 0) == (numbers == 0)).all() and ((found == name['car']) == (numbers == 401)).all() and ((found == name['sky']) == (numbers == 2420)).all()


def ade(folder):
    "Floor and other (0) above, two animals and two lamps below."
    things = [c['id'] for c in labels_of('ade20k_150') if c['isthing']]
    animal, lamp = things.index(127) + 1, things.index(37) + 1
    semantic = np.array([[4, 4, 4, 0], [127, 127, 127, 37], [4, 37, 37, 37]], np.uint8)
    red, green = np.array([[0, 0, 0, 0], [animal, animal, animal, lamp], [0, lamp, 0, lamp]]), np.array([[0, 0, 0, 0], [1, 2, 2, 3], [0, 4, 0, 3]])
    photo(folder/'images'/'validation'/'ADE_val_00000001.jpg', (3, 4))
    save(folder/'annotations'/'validation'/'ADE_val_00000001.png', semantic)
    save(folder/'annotations_instance'/'validation'/'ADE_val_00000001.png', np.stack([red, green, 0*red], -1).astype(np.uint8))
    return folder

@pytest.mark.parametrize('kind, classes, counts', [
    ('semantic', [[4, 4, 4, 0], [127, 127, 127, 37], [4, 37, 37, 37]], {4: 1, 127: 1, 37: 1}),
    ('instance', [[0, 0, 0, 0], [127, 127, 127, 37], [0, 37, 0, 37]], {127: 2, 37: 2}),
    ('panoptic', [[4, 4, 4, 0], [127, 127, 127, 37], [4, 37, 0, 37]], {4: 1, 127: 2, 37: 2})])
def test_ade20k_of_three_kinds(tmp_path, kind, classes, counts):
    "A thing's pixel without an instance (bottom, third) is void in the panoptic truth."
    prepare(f'ade20k_{kind}', ade(tmp_path/'src'), tmp_path/'out')
    found = classes_of(tmp_path/'out')
    assert found[0].tolist() == classes and found[1] == counts


def context(folder, x):
    from scipy.io import savemat
    words = [c.get('official', c['name']) for c in labels_of('pascal_context_59')]
    names = ['accordion', *words[::-1], *(f'name {i}' for i in range(61, 460))]
    write(folder/'labels.txt', ''.join(f'{i}: {n}\n' for i,n in enumerate(names, 1)))
    photo(folder/'JPEGImages'/'2008_000002.jpg', np.shape(x))
    (folder/'trainval').mkdir(parents=True)
    savemat(folder/'trainval'/'2008_000002.mat', dict(LabelMap=np.array(x, np.uint16)))
    return folder

@pytest.mark.parametrize('n, expected', [(59, [[0, 0, 59], [1, 0, 40]]), (459, [[0, 1, 2], [60, 459, 21]])])
def test_pascal_context(tmp_path, n, expected):
    "In this list wood is 2, aeroplane 60, pottedplant 21: found by name, not by number."
    told = prepare(f'pascal_context_{n}', context(tmp_path/'src', [[0, 1, 2], [60, 459, 21]]), tmp_path/'out')
    assert classes_of(tmp_path/'out')[0].tolist() == expected and told['pictures'] == 1
    assert len(PanopticDataset(tmp_path/'out').categories) == n


def voc(folder, split='val'):
    "A palette PNG as VOC has it: a person, a dog, two horses, background and a rim of 255."
    x, which = np.array([[0, 13, 13, 255], [15, 12, 13, 13]], np.uint8), np.array([[0, 1, 1, 255], [2, 3, 4, 4]], np.uint8)
    root = folder/'VOCdevkit'/'VOC2012'
    photo(root/'JPEGImages'/'2007_000001.jpg', x.shape)
    photo(root/'JPEGImages'/'2007_000009.jpg', x.shape)
    for name,a in dict(SegmentationClass=x, SegmentationObject=which).items():
        image = Image.fromarray(a)
        image.putpalette([(7*i + 3*c) % 256 for i in range(256) for c in range(3)])
        (root/name).mkdir(parents=True)
        image.save(root/name/'2007_000001.png')
    write(root/'ImageSets'/'Segmentation'/f'{split}.txt', '2007_000001\n')
    return folder

def test_pascal_voc(tmp_path):
    prepare('pascal_voc', voc(tmp_path/'src'), tmp_path/'out')
    sample = PanopticDataset(tmp_path/'out')[0]
    _, counts = classes_of(tmp_path/'out')
    assert counts == {0: 1, 13: 2, 15: 1, 12: 1} and (sample.panoptic == 0).tolist() == [[False, False, False, True], [False]*4]
    assert {c['id']: c['isthing'] for c in PanopticDataset(tmp_path/'out').categories} == {0: 0, **dict.fromkeys(range(1, 21), 1)}


@pytest.mark.parametrize('form', ['grey', 'sixteen', 'palette', 'colour', 'alpha'])
def test_a_folder_of_masks(tmp_path, form):
    src, x = tmp_path/'src', np.array([[3, 3, 0], [700 if form == 'sixteen' else 7, 255, 3]])
    colours = {3: [10, 20, 30], 7: [0, 0, 255], 700: [1, 1, 1]}
    last = int(x[1, 0])
    write(src/'labels.json', [dict(id=i, name=f'class {i}', color=colours[i]) for i in (3, last)])
    photo(src/'images'/'deep'/'a.jpg', x.shape)
    lut = np.zeros((1000, 3), np.uint8)
    for i,c in colours.items(): lut[i] = c
    if form == 'sixteen': save(src/'masks'/'deep'/'a.png', x.astype(np.uint16))
    elif form == 'colour': save(src/'masks'/'deep'/'a.png', lut[x])
    elif form == 'alpha': save(src/'masks'/'deep'/'a.png', np.dstack([lut[x], np.full(x.shape, 99, np.uint8)]))
    else:
        image = Image.fromarray(x.astype(np.uint8))
        if form == 'palette': image.putpalette([(5*i) % 256 for i in range(768)])
        (src/'masks'/'deep').mkdir(parents=True)
        image.save(src/'masks'/'deep'/'a.png')
    prepare('folder', src, tmp_path/'out')
    assert classes_of(tmp_path/'out')[0].tolist() == [[3, 3, 0], [last, 0, 3]]
    assert PanopticDataset(tmp_path/'out')[0].file_name == 'deep_a.jpg'


def test_coco_instances_in_every_notation(tmp_path):
    "A polygon, run lengths as numbers and packed, a crowd; of two that overlap the smaller is kept whole; one picture without any."
    from pycocotools import mask as rle
    small = np.zeros((8, 8), np.uint8)
    small[2:4, 2:4] = 1
    packed = rle.encode(np.asfortranarray(small))
    shapes = [dict(segmentation=[[1, 1, 7, 1, 7, 7, 1, 7]]), dict(segmentation=dict(packed, counts=packed['counts'].decode())),
              dict(segmentation=dict(size=[8, 8], counts=[0, 8, 56]), iscrowd=1)]
    table = dict(images=[dict(id=i, file_name=f'{n}.jpg', height=8, width=8) for i,n in enumerate('ab')], categories=[dict(id=4, name='cup'), dict(id=5, name='tray')],
                 annotations=[dict(s, id=i, image_id=0, category_id=5 if i == 0 else 4) for i,s in enumerate(shapes)])
    write(tmp_path/'src'/'instances.json', table)
    for n in 'ab': photo(tmp_path/'src'/'images'/f'{n}.jpg', (8, 8))
    prepare('coco_instances', tmp_path/'src', tmp_path/'out')
    a, b = PanopticDataset(tmp_path/'out')
    areas = {(s['category_id'], s['iscrowd']): s['area'] for s in a.segments_info}
    assert areas == {(5, 0): 36 - 4, (4, 0): 4, (4, 1): 8} and not b.segments_info and not b.panoptic.any()


@pytest.mark.parametrize('lying', ['as stored', 'upright'])
def test_a_picture_turned_by_its_tag(tmp_path, lying):
    "Orientation 6: stored 4×6, upright 6×4. The map may lie on the rows of the file or on those one sees; either way it is seen upright."
    src = many(tmp_path/'src', 1)
    image, exif = Image.open(src/'images'/'0.jpg'), Image.Exif()
    exif[0x0112] = 6
    image.save(src/'images'/'0.jpg', exif=exif)
    x = np.ones((4, 6), np.uint8)
    x[0, :] = 2                                         # the top row of the file is the right column of the upright picture
    save(src/'masks'/'0.png', x if lying == 'as stored' else np.rot90(x, -1))
    prepare('folder', src, tmp_path/'out')
    found = classes_of(tmp_path/'out')[0]
    assert found.shape == (6, 4) and (found[:, -1] == 2).all() and (found[:, :-1] == 1).all()


def test_other_words_for_the_same_ids(tmp_path):
    write(tmp_path/'words.txt', ''.join(f'{i}:word {i},other {i}\n' for i in range(21)))
    prepare('pascal_voc', voc(tmp_path/'src'), tmp_path/'out', labels=tmp_path/'words.txt')
    categories = PanopticDataset(tmp_path/'out').categories
    assert [(c['name'], c['synonyms'], c['isthing']) for c in categories][:2] == [('word 0', ['other 0'], 0), ('word 1', ['other 1'], 1)]


def many(folder, n=5):
    write(folder/'labels.txt', '1:one\n2:two\n')
    for i in range(n):
        photo(folder/'images'/f'{i}.jpg', (4, 6))
        save(folder/'masks'/f'{i}.png', np.tile(np.array([1, 2, 1], np.uint8), (4, 2)))
    return folder

@pytest.mark.parametrize('where', ['place', 'fingerprints'])
def test_a_stopped_run_goes_on(tmp_path, monkeypatch, where):
    "Stopped at the fourth picture, before or after its files were written: three are not made again, and nothing differs in the end."
    src, made = many(tmp_path/'src'), []
    whole, step, convert = prepare('folder', src, tmp_path/'whole'), getattr(datasets, where), datasets.convert
    def breaks(*words):
        if len(made) == 3: raise KeyboardInterrupt
        return step(*words)
    def counted(item, *words):
        row = convert(item, *words)
        made.append(item.file_name)
        return row
    monkeypatch.setattr(datasets, where, breaks)
    monkeypatch.setattr(datasets, 'convert', counted)
    with pytest.raises(KeyboardInterrupt): prepare('folder', src, tmp_path/'out')
    assert not (tmp_path/'out'/'panoptic.json').exists() and not list((tmp_path/'out').rglob('*.part'))
    monkeypatch.setattr(datasets, where, step)
    (tmp_path/'out'/'images'/'1.jpg').unlink()          # and one that somebody removed is made again
    assert prepare('folder', src, tmp_path/'out') == whole
    assert made == ['0.jpg', '1.jpg', '2.jpg', '1.jpg', '3.jpg', '4.jpg'] and verify(tmp_path/'out') == []
    for name in ('panoptic.json', 'prepared.json'): assert (tmp_path/'out'/name).read_bytes() == (tmp_path/'whole'/name).read_bytes()


def test_verify_names_what_changed(tmp_path):
    prepare('folder', many(tmp_path/'src'), tmp_path/'out')
    ids = rgb2id(np.array(Image.open(tmp_path/'out'/'panoptic'/'1.png')))
    ids[0, 0] = 2
    Image.fromarray(id2rgb(ids)).save(tmp_path/'out'/'panoptic'/'1.png')
    image = Image.open(tmp_path/'out'/'panoptic'/'2.png')
    image.save(tmp_path/'out'/'panoptic'/'2.png', compress_level=0)   # other bytes, the same ids
    (tmp_path/'out'/'images'/'3.jpg').unlink()
    assert verify(tmp_path/'out') == ['1.jpg', '3.jpg']


def refuse(*words, says, **options):
    with pytest.raises(SystemExit) as left: odise_datasets('prepare', *words, **options)
    line = left.value.code
    assert isinstance(line, str) and '\n' not in line and line.startswith('odise_datasets: ')
    for part in says: assert str(part) in line, line

def test_bad_input_gets_one_line(tmp_path):
    src, out = many(tmp_path/'src'), tmp_path/'out'
    refuse('cocoo', src, out, says=["'cocoo'", 'coco_panoptic, ', 'pascal_voc'])
    refuse('folder', src, src, says=[src, 'the source itself'])
    for name in datasets.SOURCES: refuse(name, tmp_path/'nowhere', out, says=['nowhere', datasets.SOURCES[name].expects, datasets.SOURCES[name].where])
    refuse('folder', src, out, labels=tmp_path/'none.txt', says=['none.txt'])
    (src/'masks'/'1.png').write_bytes(b'hello')
    refuse('folder', src, out, says=[src/'masks'/'1.png', 'no picture that Pillow reads'])
    save(src/'masks'/'1.png', np.full((4, 6), 9, np.uint8))
    refuse('folder', src, out, says=[src/'masks'/'1.png', '[9]', '2 classes'])
    save(src/'masks'/'1.png', np.ones((4, 5), np.uint8))
    refuse('folder', src, out, says=[src/'images'/'1.jpg', '4×6', '4×5'])
    save(src/'masks'/'1.png', np.full((4, 6, 3), 9, np.uint8))
    refuse('folder', src, out, says=[src/'masks'/'1.png', '(9, 9, 9)', '"color"'])
    (src/'masks'/'1.png').unlink()
    refuse('folder', src, out, says=[src/'masks'/'1.png'])
    photo(src/'images'/'1.png', (4, 6))
    refuse('folder', src, out, says=['more than one picture is called 1'])
    refuse('pascal_voc', voc(tmp_path/'voc'), out, says=[out, 'holds another set', 'name folder'])
    write(tmp_path/'voc.txt', '1:aeroplane\n')
    refuse('pascal_voc', tmp_path/'voc', tmp_path/'v', labels=tmp_path/'voc.txt', says=['voc.txt', 'no names for the ids'])

def test_bad_maps_of_the_sets_get_one_line(tmp_path):
    folder = ade(tmp_path/'ade')
    save(folder/'annotations'/'validation'/'ADE_val_00000001.png', np.full((3, 4), 151, np.uint8))
    refuse('ade20k_semantic', folder, tmp_path/'a', says=['ADE_val_00000001.png', '[151]', '150 classes'])
    save(folder/'annotations_instance'/'validation'/'ADE_val_00000001.png', np.full((3, 4, 3), 101, np.uint8))
    refuse('ade20k_instance', folder, tmp_path/'b', says=['ADE_val_00000001.png', 'red', '100'])
    refuse('pascal_context_459', context(tmp_path/'context', [[460]]), tmp_path/'c', says=['2008_000002.mat', '460', '459 names'])
    (tmp_path/'context'/'trainval'/'2008_000002.mat').write_bytes(b'no matlab')
    refuse('pascal_context_59', tmp_path/'context', tmp_path/'c', says=['2008_000002.mat', 'LabelMap'])
    write(tmp_path/'context'/'labels.txt', '1: accordion\n')
    refuse('pascal_context_59', tmp_path/'context', tmp_path/'c', says=['labels.txt', "'aeroplane'"])
    photo(tmp_path/'own'/'images'/'a.jpg', (8, 8))
    own = dict(images=[dict(id=1, file_name='a.jpg', height=8, width=8)], categories=[dict(id=4, name='cup')], annotations=[dict(id=3, image_id=1, category_id=4, bbox=[0, 0, 2, 2])])
    write(tmp_path/'own'/'instances.json', own)
    refuse('coco_instances', tmp_path/'own', tmp_path/'d', says=['instances.json', 'annotation 3', 'not a box'])
    own['annotations'][0]['category_id'] = 77
    write(tmp_path/'own'/'instances.json', own)
    refuse('coco_instances', tmp_path/'own', tmp_path/'d', says=['instances.json', 'annotation 3', '77'])


def test_the_command(tmp_path, capsys):
    odise_datasets('list')
    listed = capsys.readouterr().out
    for name,source in datasets.SOURCES.items(): assert name in listed and source.where in listed
    odise_datasets('prepare', 'folder', many(tmp_path/'src'), tmp_path/'out')
    told = capsys.readouterr().out
    assert '5 pictures' in told and json.loads((tmp_path/'out'/'prepared.json').read_text())['sha256']['maps'][:12] in told
    odise_datasets('verify', tmp_path/'out')
    assert 'as prepared' in capsys.readouterr().out
    (tmp_path/'out'/'images'/'3.jpg').unlink()
    with pytest.raises(SystemExit) as left: odise_datasets('verify', tmp_path/'out')
    assert '3.jpg' in left.value.code
    with pytest.raises(SystemExit) as left: odise_datasets('prepare', 'folder')
    assert 'NAME SRC OUT' in left.value.code
    with pytest.raises(SystemExit) as left: odise_datasets('fetch')
    assert "'fetch'" in left.value.code


def test_check_reports_a_sound_and_a_damaged_set(tmp_path, capsys):
    from odise.world import write_split
    world = write_split(tmp_path, 'val', 4, progress=False)
    odise_datasets('check', str(world))
    assert capsys.readouterr().out.startswith('4 pictures: no fault')
    table = json.loads((world/'panoptic.json').read_text())
    (world/'images'/table['images'][0]['file_name']).unlink()
    table['annotations'][1]['segments_info'].pop()
    table['annotations'][2]['segments_info'][0]['area'] += 5
    write(world/'panoptic.json', table)
    with pytest.raises(SystemExit) as left: odise_datasets('check', str(world))
    said = capsys.readouterr().out
    assert f'{world}: 2 of 4 pictures have faults' in left.value.code and '\n' not in left.value.code
    assert all(kind in said for kind in ('4 pictures: 2 with faults', 'missing picture', 'ids only in the map', 'worth knowing', 'wrong area'))
    with pytest.raises(SystemExit) as left: odise_datasets('check')
    assert 'check FOLDER' in left.value.code
