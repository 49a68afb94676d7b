"The embedded world is frozen: the same scenes for ever, as hard as they were, and nobody sees what is withheld from him."
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from odise import sprites
from odise.names import label_text
from odise.world import CATEGORIES, HELD_OUT, NAMES, STREAM, STUFF, STYLES, THINGS, VERSION, data_path, draw_scene, iter_scenes, scene

N = 50
FROZEN = dict(  # split → digest of what is where and what is said, mean of all pixels
    web=('4baac60132de889d', 139.407),
    train=('052da1ccb710c78a', 120.068),
    dev=('5a4b7690ef7a5018', 134.722),
    val=('b56d067304fbb9dc', 131.507),
    shift=('851951705d968d67', 131.295),
)


@pytest.fixture(scope='module')
def scenes(): return {split: list(iter_scenes(split, 4*N)) for split in STREAM}

def digest(scenes):
    told = [(s.captions, s.segments_info, hashlib.sha256(s.panoptic.astype('<i4').tobytes()).hexdigest()) for s in scenes]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

def names_in(scenes): return {o['category_id'] for s in scenes for o in s.segments_info}

NOVEL = {c['id'] for c in CATEGORIES if not c['seen']}


@pytest.mark.parametrize('split', FROZEN)
def test_scenes_are_what_they_were(scenes, split):
    "Weights, tables and figures were made with these scenes: whoever changes one must say so by a new VERSION."
    assert VERSION == 1
    layout, brightness = FROZEN[split]
    assert digest(scenes[split][:N]) == layout
    assert abs(np.mean([s.image for s in scenes[split][:N]]) - brightness) < 0.02   # another Pillow may round otherwise


def test_enough_names():
    assert len(THINGS) >= 60 and sum(not n.seen for n in THINGS) >= 20
    assert len(STUFF) >= 20 and sum(not n.seen for n in STUFF) >= 4
    assert not set(STYLES) & set(HELD_OUT)


@pytest.mark.parametrize('split', ['train', 'dev', 'val', 'shift'])
def test_difficulty(scenes, split):
    things = [list(s.hidden.values()) for s in scenes[split]]
    hidden = np.concatenate(things)
    twins = [len(ids) > len(set(ids)) for ids in ([o['category_id'] for o in s.segments_info if o['id'] in s.hidden] for s in scenes[split])]
    assert np.mean([len(t) for t in things]) >= 3
    assert np.mean(hidden > 0.05) >= 0.3     # more than a twentieth of it
    assert np.mean(twins) >= 0.25


def test_sprites_measure_14_to_40_pixels(monkeypatch):
    sides, stamp = [], sprites.stamp
    monkeypatch.setattr(sprites, 'stamp', lambda image, side, *rest: sides.append(side) or stamp(image, side, *rest))
    list(iter_scenes('val', N))
    assert 14 <= min(sides) < 16 and 38 < max(sides) <= 40


def test_train_shows_and_says_seen_names_only(scenes):
    assert not names_in(scenes['train']) & NOVEL
    seen, novel = ([w for n in NAMES if n.seen == yes for w in (n.name, n.plural, *n.synonyms)] for yes in (True, False))
    known = re.compile('|'.join(rf'\b{re.escape(w)}\b' for w in sorted(seen, key=len, reverse=True)))
    withheld = re.compile('|'.join(rf'\b{re.escape(w)}\b' for w in novel))
    said = [known.sub('', c) for s in scenes['train'] for c in s.captions]
    assert not [c for c in said if withheld.search(c)]
    assert any(withheld.search(known.sub('', c)) for s in scenes['web'] for c in s.captions)     # the search does find them


@pytest.mark.parametrize('split', ['web', 'dev', 'val', 'shift'])
def test_all_names_are_shown_elsewhere(scenes, split):
    assert names_in(scenes[split]) >= {c['id'] for c in CATEGORIES}


def test_shift_repeats_val_in_another_hand(scenes):
    things = lambda s: sorted(o['category_id'] for o in s.segments_info if o['id'] in s.hidden)
    pairs = list(zip(scenes['val'], scenes['shift']))
    assert np.mean([things(a) == things(b) for a,b in pairs]) > 0.9     # a sliver may vanish in one style only
    for a,b in pairs: assert not a.hidden or (a.image != b.image).any()
    bare = [~np.isin(a.panoptic, list(a.hidden)) & ~np.isin(b.panoptic, list(b.hidden)) for a,b in pairs]
    same = [(np.abs(a.image.astype(int) - b.image).max(-1) <= 1)[m].mean() for (a,b),m in zip(pairs, bare) if m.any()]
    assert np.mean(same) > 0.85    # rims of sprites apart, the ground is the same


def test_splits_share_no_scene(scenes):
    pictures = [s.image.tobytes() for split in scenes.values() for s in split]
    assert len(set(pictures)) == len(pictures)


def test_a_scene_is_a_function_of_its_arguments():
    assert (scene('val', 7).image == scene('val', 7).image).all()
    assert (scene('val', 7).image != scene('val', 7, seed=1).image).any()
    a, b = (draw_scene(np.random.default_rng(3), size=(64, 160)) for _ in range(2))
    assert (a.panoptic == b.panoptic).all() and a.captions == b.captions


def test_the_label_file_holds_the_worlds_names():
    assert data_path('labels', 'world.txt').read_text() == label_text()


def test_two_at_once_write_one_world(tmp_path):
    "Who comes at the same time waits and finds it done: nothing is written over what another already reads."
    call = f"import os; from odise.world import write_split; print(os.stat(write_split({str(tmp_path)!r}, 'val', 40, progress=False)).st_ino)"
    both = [subprocess.Popen([sys.executable, '-c', call], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (p.communicate()[0] for p in both)
    assert first == second != ''
