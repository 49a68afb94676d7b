"Weights from elsewhere: the released layout and its conversion, other Mask2Formers, strangers' files, the hub."
import copy
import json
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from odise.cli import odise_convert
from odise.files import read_tensors, write_tensors
from odise.hub import ODISE, OFFICIAL, convert, from_mask2former, from_official, load_mask_generator, load_official, official_folder, official_layout
from odise.mask_decoder import MaskDecoder
from odise.model import trainable
from odise.names import data_path
from odise.pixel_decoder import PixelDecoder
from odise.recipe import MICRO, build, full_giants_on_meta, giants, load_model

here = Path(__file__).parent
sys.path.insert(0, str(here/'golden_cases'))
CASES = {'label-coco': 'label', 'caption-coco': 'caption'}
GATE = 'backbone.feature_extractor.alpha_cond'


def golden(name):
    "A golden file or folder, where `tests/test_golden.py` looks for them."
    places = [os.environ.get('ODISE_GOLDEN'), here.parents[1]/'shared'/'golden', here/'golden']
    return next((Path(p)/name for p in places if p and (Path(p)/name).exists()), None)


@pytest.fixture(scope='module')
def empty_giants(): return full_giants_on_meta()

@pytest.fixture(scope='module')
def full(empty_giants):
    "Both released models at full size, without values."
    with torch.device('meta'): return {name: build(r, data_path('labels', 'coco_panoptic.json'), *empty_giants, ODISE) for name,r in OFFICIAL.items()}

@pytest.fixture(scope='module')
def micro(): return giants(MICRO.eye)


def seeded(shapes, spread=0.02):
    "A checkpoint of these shapes in the released layout."
    generator = torch.Generator().manual_seed(7)
    tensors = {k: torch.randn(s, generator=generator)*spread for k,s in shapes.items()}
    tensors['criterion.empty_weight'] = torch.ones(shapes['criterion.empty_weight'])
    tensors['criterion.empty_weight'][-1] = 0.1
    return tensors


# ------------------------------------------------------------------ the released layout
@pytest.mark.parametrize('name', CASES)
def test_the_released_layout_is_ours_to_the_name_and_the_shape(full, name):
    told = json.loads(golden(f'keys_{CASES[name]}.json').read_text())
    keys = {k: tuple(v['shape']) for k,v in told['keys'].items()}
    assert official_layout(full[name]) == keys
    ours = from_official({k: torch.empty(s, device='meta') for k,s in keys.items()})
    assert {k: p.shape for k,p in trainable(full[name]).items()} == {k: t.shape for k,t in ours.items()}
    assert len(ours) == told['info']['n_trainable_tensors'] and sum(t.numel() for t in ours.values()) == told['info']['trainable_numel']


@pytest.mark.parametrize('name', CASES)
def test_a_full_size_checkpoint_becomes_the_official_model(full, empty_giants, tmp_path, monkeypatch, name):
    "`from_pretrained('label-coco')` finds the file in ODISE_HOME, converts it once, and opens the folder."
    monkeypatch.setenv('ODISE_HOME', str(tmp_path))
    file = tmp_path/name/('odise_label_coco_50e-b67d2efc.pth' if name == 'label-coco' else 'odise_caption_coco_50e-853cc971.pth')
    with pytest.raises(FileNotFoundError) as told: ODISE.from_pretrained(name)
    for part in (file, 'https://', 'CC BY-NC-SA 4.0'): assert str(part) in str(told.value)
    tensors = seeded(official_layout(full[name]))
    file.parent.mkdir()
    torch.save(dict(model=tensors, iteration=368750), file)
    monkeypatch.setattr('odise.hub.full_giants_on_meta', lambda: empty_giants)
    model = ODISE.from_pretrained(name, ldm=empty_giants[0], clip=empty_giants[1])
    assert model.recipe == OFFICIAL[name] and len(model.training_names) == 133 and sum(model.training_names.isthing) == 80
    stored, _ = read_tensors(tmp_path/name/'model.safetensors')
    wanted = from_official(tensors)
    assert stored.keys() == wanted.keys() and all(stored[k].equal(t) for k,t in wanted.items())
    real = {k: p for k,p in trainable(model).items() if not p.is_meta}
    assert len(real) >= len(wanted) - 1 and all(p.equal(wanted[k]) for k,p in real.items())   # null_embed begins as CLIP's text, here without values
    card = (tmp_path/name/'README.md').read_text()
    for part in ('license: cc-by-nc-sa-4.0', 'CreativeML OpenRAIL-M', '| MIT |', 'COCO 2017'): assert part in card
    file.unlink()
    monkeypatch.setattr('odise.hub.convert', None)   # not asked again
    assert model.facts['source'] == file.name and official_folder(name) == tmp_path/name


@pytest.mark.parametrize('case', ['m_e2e_tiny_label', 'm_e2e_tiny_caption'])
def test_converted_tiny_models_answer_as_the_authors_code(tmp_path, case):
    "An official file of the tiny configuration → folder → model: every recorded output, image to panoptic map."
    from m_e2e_tiny_label import check_run
    from reference import Reference
    from tiny_odise import build_tiny, vocabulary
    if golden(case) is None: pytest.skip(f'{case}: no folder in ODISE_GOLDEN or ../shared/golden, and too large for tests/golden')
    reference, supervision = Reference(golden(case)), case.rsplit('_', 1)[1]
    config = reference.info['config']
    model, published = build_tiny(config, supervision, reference.info['alpha'], reference.info['beta'])
    loss = torch.ones(len(config['train_labels']) + 1 if supervision == 'label' else 2)
    loss[-1] = 0.1
    torch.save(dict(model={k: p.detach().clone() for k,p in published.items()} | {'criterion.empty_weight': loss}), tmp_path/'tiny.pth')
    parts = dict(ldm=model.backbone.ldm, clip=model.clip)
    convert(tmp_path/'tiny.pth', tmp_path/'out', model.training_names, model.recipe, **parts)
    again = ODISE.from_pretrained(tmp_path/'out', **parts)
    assert again is not model and all(p.equal(trainable(model)[k]) for k,p in trainable(again).items())
    again.backbone.window = model.backbone.window
    names = again.read(vocabulary(config))
    for run in reference.info['runs']: check_run(reference, run, again, names)
    assert len(reference.errors) > 30


# ------------------------------------------------------------------ files that are not what they say
def refuse(checkpoint, out, says, **options):
    "The command must leave by `sys.exit` with one line that holds all of `says`, and write nothing."
    with pytest.raises(SystemExit) as left: odise_convert(checkpoint, out, **options)
    line = left.value.code
    assert isinstance(line, str) and '\n' not in line and line.startswith('odise_convert: '), line
    for part in (checkpoint, *says): assert str(part) in line, line
    assert not out.exists()

class Bomb:
    "Runs a command when it is unpickled."
    def __init__(self, trace): self.trace = trace
    def __reduce__(self): return os.system, (f'touch {self.trace}',)


def test_files_that_are_no_checkpoint(tmp_path):
    out, trace = tmp_path/'out', tmp_path/'exploded'
    torch.save(dict(model=dict(weight=Bomb(trace))), tmp_path/'bomb.pth')
    (tmp_path/'plain.pth').write_bytes(pickle.dumps(dict(model=dict(weight=Bomb(trace))), protocol=2))
    torch.save(dict(model={'a.weight': torch.zeros(5000)}), tmp_path/'whole.pth')
    (tmp_path/'cut.pth').write_bytes((tmp_path/'whole.pth').read_bytes()[:9000])
    (tmp_path/'text.pth').write_text('<html>404 not found</html>')
    (tmp_path/'empty.pth').write_bytes(b'')
    torch.save([1, 2, 3], tmp_path/'list.pth')
    (tmp_path/'cut.safetensors').write_bytes((data_path('micro', 'label')/'model.safetensors').read_bytes()[:5000])
    refuse(tmp_path/'bomb.pth', out, ['posix.system', 'refused'])
    refuse(tmp_path/'plain.pth', out, [])
    for name in ('cut.pth', 'text.pth', 'empty.pth', 'cut.safetensors'): refuse(tmp_path/name, out, ['fetch it again'])
    refuse(tmp_path/'list.pth', out, ['no tensors by name'])
    refuse(tmp_path/'gone.pth', out, ['no such file'])
    assert not trace.exists()
    pickle.loads((tmp_path/'plain.pth').read_bytes())   # the bomb is a bomb: an unsafe reader sets it off
    assert trace.exists()


def test_checkpoints_of_other_models_are_refused_by_name(full, empty_giants, tmp_path, monkeypatch):
    monkeypatch.setattr('odise.hub.full_giants_on_meta', lambda: empty_giants)
    monkeypatch.setattr('odise.hub.build', lambda *_: full['label-coco'])   # once is enough: what is refused changes nothing
    good, out = {k: torch.zeros(()).expand(s) for k,s in official_layout(full['label-coco']).items()}, tmp_path/'out'
    good['criterion.empty_weight'] = torch.tensor([1.]*133 + [0.1])
    spoiled = {'short': ({k: t for k,t in good.items() if k != GATE}, [f'{GATE} is missing']),
               'long': (good | {'clip_head.clip.visual.proj': torch.zeros(3)}, ['clip_head.clip.visual.proj is unknown']),
               'bent': (good | {GATE: torch.zeros(1, 77, 1024)}, [f'{GATE} has shape (1, 77, 1024) instead of (1, 77, 768)']),
               'whole': (good | {GATE: torch.zeros(1, 77, 768, dtype=torch.int32)}, [f'{GATE} is int32 instead of floating point']),
               'nan': (good | {GATE: torch.full((1, 77, 768), torch.nan)}, [f'{GATE} holds NaN']),
               'loss': (good | {'criterion.empty_weight': torch.ones(134)}, ['criterion.empty_weight ends in 1 instead of 0.1']),
               'names': (good | {'criterion.empty_weight': torch.tensor([1.]*150 + [0.1])}, ['trained with 150 names', 'has 133', '--names']),
               'other': ({'layer1.0.conv1.weight': torch.zeros(2)}, ['is missing', 'and 397 more'])}
    for name,(tensors,says) in spoiled.items():
        torch.save(dict(model=tensors), tmp_path/f'{name}.pth')
        refuse(tmp_path/f'{name}.pth', out, says)
    assert all(p.is_meta for p in trainable(full['label-coco']).values())
    half = {k: t.half() for k,t in good.items()}
    model = load_official(copy.deepcopy(full['label-coco']), half)
    assert all(p.dtype == torch.float32 and not p.is_meta for p in trainable(model).values())


def test_openseg_names_are_taken_to_the_letter(full, empty_giants, tmp_path, monkeypatch):
    "With the authors' list in ODISE_HOME, it is what the folder holds; its things are those of COCO."
    monkeypatch.setenv('ODISE_HOME', str(tmp_path))
    monkeypatch.setattr('odise.hub.full_giants_on_meta', lambda: empty_giants)
    kit = [r for r in json.loads(data_path('labels', 'coco_panoptic.json').read_text())]
    lines = ['0:invalid_class_id', *(f"{c['id']}:{c['name']}{',childeren' if c['id'] == 1 else ''}" for c in kit)]
    (tmp_path/'coco_panoptic_with_prompt_eng.txt').write_text('\n'.join(lines) + '\n')
    shapes = official_layout(full['caption-coco'])
    torch.save(dict(model={k: torch.zeros(()).expand(s) for k,s in shapes.items()} | {'criterion.empty_weight': torch.tensor([1., 0.1])}), tmp_path/'c.pth')
    odise_convert(tmp_path/'c.pth', tmp_path/'out', half=True)
    config = json.loads((tmp_path/'out'/'config.json').read_text())
    assert config['facts']['names'] == 'coco_panoptic_with_prompt_eng.txt' and config['training_names'][0]['synonyms'] == ['childeren']
    assert [c['isthing'] for c in config['training_names']] == [int(c['isthing']) for c in kit]
    assert {t.dtype for t in read_tensors(tmp_path/'out'/'model.safetensors')[0].values() if t.ndim} == {torch.float16}


# ------------------------------------------------------------------ other mask generators
def small_mask2former(d=32, channels=32):
    "transformers' pixel decoder and transformer decoder, small, random, norms included; its config."
    from transformers import Mask2FormerConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoder, Mask2FormerTransformerModule
    config = Mask2FormerConfig(feature_size=d, mask_feature_size=d, hidden_dim=d, encoder_layers=2, encoder_feedforward_dim=48, num_attention_heads=4,
                               decoder_layers=4, dim_feedforward=64, num_queries=7, num_labels=5)
    torch.manual_seed(0)
    pixels, queries = Mask2FormerPixelDecoder(config, [channels]*4).eval(), Mask2FormerTransformerModule(d, config).eval()
    with torch.no_grad():
        for name,p in (*pixels.named_parameters(), *queries.named_parameters()):   # some are made without values
            p.copy_(torch.randn(p.shape)*(p[0].numel()**-0.5 if p.ndim > 1 else 0.1) + (p.ndim == 1 and name.endswith('weight')))
    prefixes = {'model.pixel_level_module.decoder.': pixels, 'model.transformer_module.': queries}
    return pixels, queries, {old + k: p.detach() for old,m in prefixes.items() for k,p in m.state_dict().items()}


def test_transformers_mask2former_gives_the_same_masks_under_our_names():
    pixels, queries, tensors = small_mask2former()
    ours = from_mask2former(tensors)
    fine, decoder = PixelDecoder(32, 32, n_layers=2, n_heads=4, ffn=48).eval(), MaskDecoder(32, 7, 3, 4, 64).eval()
    for module,prefix in ((fine, 'pixel_decoder.'), (decoder, 'mask_decoder.')):
        module.load_state_dict({k.removeprefix(prefix): t for k,t in ours.items() if k.startswith(prefix)})
    assert len(ours) == len(fine.state_dict()) + len(decoder.state_dict())
    maps = [torch.randn(2, 32, 64//s, 96//s, generator=torch.Generator().manual_seed(s)) for s in (4, 8, 16, 32)]
    with torch.no_grad():
        theirs = pixels(maps)
        mask_features, memory = fine(dict(zip((4, 8, 16, 32), maps)))
        torch.testing.assert_close(mask_features, theirs.mask_features, rtol=1e-4, atol=1e-4)
        for a,b in zip(memory, theirs.multi_scale_features, strict=True): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        masks = queries(multi_scale_features=list(memory), mask_features=mask_features, output_hidden_states=True).masks_queries_logits
    for a,b in zip(decoder(memory, mask_features), masks, strict=True): torch.testing.assert_close(a['pred_masks'], b, rtol=1e-3, atol=1e-3)


def test_a_mask_generator_is_taken_or_refused_by_name(micro, tmp_path):
    "detectron2's names: what met its own eye does not fit; what is left in peace must be said."
    model = build(MICRO, 'dog; cat', *micro)
    before = {k: p.detach().clone() for k,p in trainable(model).items()}
    tensors = seeded(official_layout(model))
    tensors = {k: t for k,t in tensors.items() if k.startswith(('sem_seg_head.pixel_decoder.', 'sem_seg_head.predictor.', 'criterion.')) and 'post_mask_embed' not in k}
    tensors |= {'backbone.res2.0.conv1.weight': torch.zeros(3), 'sem_seg_head.predictor.class_embed.weight': torch.zeros(134, 96),
                'sem_seg_head.pixel_decoder.adapter_1.weight': torch.zeros(96, 256, 1, 1)}
    write_tensors(tmp_path/'m2f.safetensors', tensors)
    with pytest.raises(ValueError) as told: load_mask_generator(model, tmp_path/'m2f.safetensors')
    for part in ('m2f.safetensors does not fit', 'mask_decoder.class_embed.weight is unknown', 'pixel_decoder.adapter_1.weight has shape (96, 256, 1, 1) instead of', 'leave='):
        assert part in str(told.value)
    assert all(p.equal(before[k]) for k,p in trainable(model).items())
    filled = load_mask_generator(model, tmp_path/'m2f.safetensors', leave=('pixel_decoder.adapter_1.weight', 'mask_decoder.class_embed'))
    now = trainable(model)
    assert all(now[k].equal(from_official({old: t})[k]) for old,t in tensors.items() if not old.startswith(('backbone', 'criterion')) for k in from_official({old: t}) if k in filled)
    assert {k for k,p in now.items() if not p.equal(before[k])} <= set(filled) and now['pixel_decoder.adapter_1.weight'].equal(before['pixel_decoder.adapter_1.weight'])
    with pytest.raises(ValueError, match='unknown tensors head.weight'): from_mask2former({'head.weight': torch.zeros(3), 'class_predictor.weight': torch.zeros(3)})


# ------------------------------------------------------------------ folders and the hub
def test_a_model_goes_to_the_hub_and_back_without_a_network(micro, tmp_path, monkeypatch):
    shelf = {}
    class PlayHub:
        def __init__(self, token=None): pass
        def create_repo(self, repo_id, private=None, exist_ok=False): return SimpleNamespace(repo_id=repo_id)
        def upload_folder(self, repo_id, folder_path, **_):
            shelf[repo_id] = {f.name: f.read_bytes() for f in Path(folder_path).rglob('*') if f.is_file()}
            return f'url of {repo_id}'
    def fetch(repo_id, filename, **_):
        (tmp_path/filename).write_bytes(shelf[repo_id][filename])
        return str(tmp_path/filename)
    torch.manual_seed(0)
    model = build(MICRO, 'dog, puppy; grass', *micro, ODISE)
    rows = [dict(split='val', classifier='fused', names='novel', pq=12.5, miou=20.25)]
    model.facts, model.dtype = dict(data='/home/me/secret/farm', metrics=rows, license='apache-2.0'), torch.float32
    monkeypatch.setattr('huggingface_hub.hub_mixin.HfApi', PlayHub)
    assert model.push_to_hub('aunt/farm') == 'url of aunt/farm'
    files = shelf['aunt/farm']
    assert files.keys() == {'config.json', 'model.safetensors', 'README.md'}
    head = yaml.safe_load(files['README.md'].decode().split('---')[1])
    assert head['license'] == 'apache-2.0' and head['library_name'] == 'odise' and head['model-index'][0]['name'] == 'farm'
    assert head['model-index'][0]['results'][0]['metrics'][0]['value'] == 12.5
    card = files['README.md'].decode()
    assert 'farm' in card and '/home/me' not in card and '| val | fused | novel | 12.5 | 20.25 |' in card and card.count('Apache-2.0') == 2
    monkeypatch.setattr('huggingface_hub.hub_mixin.hf_hub_download', fetch)
    monkeypatch.setattr('odise.hub.hf_hub_download', fetch)
    again = ODISE.from_pretrained('aunt/farm', ldm=micro[0], clip=micro[1])
    ours = trainable(model)
    assert all(p.equal(ours[k]) for k,p in trainable(again).items()) and again.dtype == torch.float32 and again.facts == model.facts
    assert again.training_names.names == (('dog', 'puppy'), ('grass',)) and again.recipe == MICRO


def test_a_round_trip_keeps_every_bit_of_the_stored_dtype(micro, tmp_path):
    torch.manual_seed(1)
    model = build(MICRO, 'dog; grass', *micro, ODISE)
    for dtype in (torch.float16, torch.float32):
        model.save_pretrained(tmp_path/'a', dtype)
        once = ODISE.from_pretrained(tmp_path/'a', ldm=micro[0], clip=micro[1])
        once.save_pretrained(tmp_path/'b')
        assert (tmp_path/'a'/'model.safetensors').read_bytes() == (tmp_path/'b'/'model.safetensors').read_bytes()
        same = [p.equal(trainable(once)[k]) for k,p in trainable(model).items()]
        assert all(same) == (dtype == torch.float32)
    assert not list((tmp_path/'a').glob('.*'))


def test_names_that_lead_nowhere(tmp_path, monkeypatch):
    def nobody(*args, **_): raise ConnectionError('no route to host')
    for where in ('huggingface_hub.hub_mixin', 'odise.hub'): monkeypatch.setattr(f'{where}.hf_hub_download', nobody)
    with pytest.raises(FileNotFoundError, match='aunt/farm: no folder here, and not to be had from the hub'): ODISE.from_pretrained('aunt/farm')
    with pytest.raises(FileNotFoundError, match='config.json: not a model folder'): ODISE.from_pretrained(tmp_path/'nowhere')
    with pytest.raises(FileNotFoundError, match='config.json: not a model folder'): ODISE.from_pretrained('nowhere')
    monkeypatch.chdir(tmp_path)
    (tmp_path/'runs').mkdir()   # a folder of mine, so a typing error and no name of the hub
    with pytest.raises(FileNotFoundError, match='runs/fram/config.json: not a model folder'): ODISE.from_pretrained('runs/fram')


def test_a_folder_from_a_newer_kit_is_refused(micro, tmp_path):
    build(MICRO, 'dog; grass', *micro, ODISE).save_pretrained(tmp_path)
    config = json.loads((tmp_path/'config.json').read_text())
    (tmp_path/'config.json').write_text(json.dumps(config | dict(format=config['format'] + 1)))
    for load in (load_model, ODISE.from_pretrained):
        with pytest.raises(ValueError, match='is newer than this odise reads .*; upgrade odise'): load(tmp_path)
