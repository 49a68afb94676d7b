"Weights from anywhere: files others wrote, made small here; the registry; and one line for each file that is not what it seems."
import json
import re
import shutil
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import odise.ckpt
import odise.clip
import odise.weights as weights
from odise.ckpt import read_file, single_file_state
from odise.ldm import load_ldm, published_taps
from odise.names import data_path
from test_golden import folder_of

MICRO = data_path('micro', 'ldm')
PINNED = 'someone/something@' + '0123456789'*4


@pytest.fixture
def home(tmp_path, monkeypatch):
    "An empty `ODISE_HOME`, and a hub that does not answer."
    def unreachable(*args, **kwargs): raise ConnectionError('no network')
    monkeypatch.setenv('ODISE_HOME', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.snapshot_download', unreachable)
    monkeypatch.setattr('open_clip.download_pretrained', unreachable)
    return tmp_path


def small_sd(linear=False):
    "Stable Diffusion's plan at a fraction of its width; as 2.x with linear projections and 64-channel heads."
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel
    torch.manual_seed(0)
    more = dict(use_linear_projection=True, attention_head_dim=[1, 2, 2, 2]) if linear else {}
    return dict(
        vae=AutoencoderKL(block_out_channels=(32, 32, 64, 64), layers_per_block=2, down_block_types=('DownEncoderBlock2D',)*4, up_block_types=('UpDecoderBlock2D',)*4),
        unet=UNet2DConditionModel(sample_size=64, block_out_channels=(64, 128, 128, 128), cross_attention_dim=64, **more),
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1)))


# ------------------------------------------------------------------ files of others
def test_the_published_layout_gives_the_reference_s_numbers(tmp_path):
    "The golden case keeps its weights under published names: as one file they must give its latents, U-Net output and text states."
    folder = folder_of('l_extractor_tiny')
    if folder is None: pytest.skip('l_extractor_tiny: no folder in ODISE_GOLDEN or ../shared/golden, and too large for tests/golden')
    meta, data = json.loads((folder/'README.json').read_text()), load_file(folder/'data.safetensors')
    def value(key, shape):
        v = np.random.RandomState(zlib.crc32(key.encode()) & 0xffffffff).standard_normal(shape).astype(np.float32)
        if v.ndim >= 2: return torch.from_numpy(v*np.float32(1/np.sqrt(np.prod(shape[1:]))))
        return torch.from_numpy(1 + np.float32(0.1)*v if key.endswith('weight') else np.float32(0.1)*v)
    torch.save(dict(state_dict={k.removeprefix('sd.'): value(k, s) for k,s in meta['keys']['sd'].items()}), tmp_path/'tiny.ckpt')
    u, t = meta['config']['sd']['unet'], meta['config']['hf_text']
    ldm = load_ldm(tmp_path/'tiny.ckpt', heads=u['num_heads'], text_heads=t['num_attention_heads'])
    rtol, atol = (float(x) for x in re.findall(r'[ar]tol ([\de-]+)', meta['tolerance']))
    latent = ldm.encode(data['64_image'])
    with torch.no_grad(): answer = ldm.denoise(ldm.add_noise(latent, 0), 0, data['64_cond_inputs'], data['64_cond_emb'][:, 0])
    for ours,name in ((ldm.empty, 'uncond_inputs'), (latent, '64_latent'), (answer, '64_unet_out')):
        torch.testing.assert_close(ours, data[name], rtol=rtol, atol=atol)
    assert [c for _,c,_ in published_taps(ldm)] == meta['feature_dims']
    assert [s for _,_,s in published_taps(ldm)] == meta['feature_strides']


def test_diffusers_own_converter_agrees(tmp_path):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    parts = small_sd()
    state = single_file_state(parts)
    save_file(state, tmp_path/'one.safetensors')
    read = read_file(tmp_path/'one.safetensors')
    for name,kind in dict(unet=UNet2DConditionModel, vae=AutoencoderKL).items():
        parts[name].save_config(tmp_path/name)
        theirs = kind.from_single_file(dict(state), config=str(tmp_path), subfolder=name, local_files_only=True).state_dict()
        ours = read[name].state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k,v in ours.items())


def test_stable_diffusion_2_brings_open_clip_s_tower(tmp_path):
    import open_clip
    clip = open_clip.CLIP(32, dict(image_size=32, patch_size=16, width=64, layers=1), dict(width=64, heads=1, layers=3)).eval()
    parts = small_sd(linear=True)
    state = {k: v for k,v in single_file_state(parts).items() if not k.startswith('cond_stage_model')}
    tower = {k: v for k,v in clip.state_dict().items() if not k.startswith(('visual', 'logit_scale'))}
    save_file(state | {f'cond_stage_model.model.{k}': v.contiguous() for k,v in tower.items()}, tmp_path/'two.safetensors')
    with pytest.raises(ValueError, match="pass prediction='epsilon'"): load_ldm(tmp_path/'two.safetensors')
    ldm = load_ldm(tmp_path/'two.safetensors', prediction='v_prediction', window=768)
    ids = ldm.tokenizer(['a dog'], padding='max_length', return_tensors='pt').input_ids
    assert ids[0, -1] == 0 and ldm.prediction == 'v_prediction' and ldm.window == 768
    with torch.no_grad():
        x = clip.token_embedding(ids) + clip.positional_embedding
        for block in clip.transformer.resblocks[:-1]: x = block(x, attn_mask=clip.attn_mask)
        torch.testing.assert_close(ldm.text_states(['a dog']), clip.ln_final(x), rtol=1e-4, atol=1e-5)
        noisy, t = torch.randn(1, 4, 8, 8), torch.tensor([0])
        torch.testing.assert_close(ldm.denoise(noisy, 0, ldm.empty), parts['unet'].eval()(noisy, t, ldm.empty).sample)


def test_stable_diffusion_s_pickles_name_a_callback_and_open_all_the_same(tmp_path, monkeypatch):
    module = types.ModuleType('pytorch_lightning.callbacks.model_checkpoint')
    module.ModelCheckpoint = weights.LIGHTNING
    for name in ('pytorch_lightning', 'pytorch_lightning.callbacks'): monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save(dict(state_dict=dict(w=torch.ones(2)), callbacks={weights.LIGHTNING: dict(monitor='loss')}), tmp_path/'sd.ckpt')
    for name in list(sys.modules):
        if name.startswith('pytorch_lightning'): monkeypatch.delitem(sys.modules, name)
    assert weights.read_state(tmp_path/'sd.ckpt')['w'].tolist() == [1, 1]


def test_a_program_opens_only_if_its_hash_is_known(tmp_path, monkeypatch):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), tmp_path/'clip.pt')
    with pytest.raises(ValueError, match='SHA-256 is not in data/weights.json'): weights.read_state(tmp_path/'clip.pt')
    known = dict(x=dict(files={'clip.pt': weights.sha256(tmp_path/'clip.pt')}))
    monkeypatch.setattr(weights, 'registry', lambda: known)
    assert sorted(weights.read_state(tmp_path/'clip.pt')) == ['bias', 'weight']


# ------------------------------------------------------------------ the registry and the folder
def test_the_registry_is_whole_and_invents_nothing():
    for name,entry in weights.registry().items():
        assert {'for', 'kind', 'hub', 'revision', 'files', 'licence', 'mirrors'} <= entry.keys(), name
        assert entry['kind'] in ('ldm', 'clip', 'odise') and entry['files'] and (entry['hub'] or entry['url'])
        for file,digest in entry['files'].items(): assert digest is None or re.fullmatch('[0-9a-f]{64}', digest), file
        assert entry['revision'] is None or re.fullmatch('[0-9a-f]{40}', entry['revision'])


@pytest.mark.parametrize('name', sorted(weights.registry()))
def test_what_is_not_there_is_named_with_its_place(home, name):
    with pytest.raises(FileNotFoundError) as error: weights.find_weights(name)
    line, entry = str(error.value), weights.registry()[name]
    for part in (next(iter(entry['files'])), entry['licence'], home/name, 'ODISE_HOME'): assert str(part) in line
    assert '\n' not in line


def test_a_folder_in_odise_home_is_enough(home):
    (home/'sd-v1-5').symlink_to(MICRO, target_is_directory=True)
    (home/PINNED.replace('/', '--')).symlink_to(MICRO, target_is_directory=True)
    assert weights.find_weights('sd-v1-5') == home/'sd-v1-5'
    assert load_ldm(PINNED).window == 64


def test_an_address_needs_its_revision_and_the_hub_is_asked_for_it(home, monkeypatch):
    with pytest.raises(ValueError, match='pin it as'): load_ldm('someone/something')
    with pytest.raises(ValueError, match='pin it as'): load_ldm('someone/something@main')
    with pytest.raises(FileNotFoundError, match=f'put the folder at {home}/someone--something@'): load_ldm(PINNED)
    asked = []
    monkeypatch.setattr('huggingface_hub.snapshot_download', lambda hub, revision, allow_patterns: asked.append((hub, revision)) or str(MICRO))
    assert weights.find_weights(PINNED) == MICRO and asked == [tuple(PINNED.split('@'))]


# ------------------------------------------------------------------ folders that are not what they seem
def broken(tmp_path, change):
    "A copy of the embedded pipeline with something done to it."
    shutil.copytree(MICRO, tmp_path/'ldm')
    change(tmp_path/'ldm')
    return tmp_path/'ldm'

def retype(folder):
    file = folder/'unet'/'diffusion_pytorch_model.safetensors'
    if not file.is_file(): file = next((folder/'unet').glob('*.safetensors'))
    save_file({k: v.to(torch.int8) for k,v in load_file(file).items()}, file)

def rename(folder):
    config = json.loads((folder/'unet'/'config.json').read_text())
    (folder/'unet'/'config.json').write_text(json.dumps(config | dict(_class_name='SD3Transformer2DModel')))

def shorten(folder):
    file = next((folder/'vae').glob('*.safetensors'))
    file.write_bytes(file.read_bytes()[:5000])

@pytest.mark.parametrize('change, says', [
    (lambda f: shutil.rmtree(f/'unet'), 'unet: config.json or '), (retype, 'weights stored as I8'), (rename, 'a SD3Transformer2DModel, not a UNet2DConditionModel'),
    (shorten, 'copy or convert it again'), (lambda f: (f/'text_encoder_2').mkdir(), 'Stable Diffusion XL'), (lambda f: shutil.rmtree(f/'tokenizer'), 'tokenizer_config.json is missing')])
def test_a_folder_that_is_none(tmp_path, change, says):
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(says)) as error: load_ldm(broken(tmp_path, change))
    assert str(tmp_path) in str(error.value) and '\n' not in str(error.value)


# ------------------------------------------------------------------ CLIP
def test_the_tag_decides_the_activation(home, monkeypatch):
    "open_clip's configuration of this name says GELU, OpenAI's weights were trained with QuickGELU."
    with pytest.raises(FileNotFoundError, match='fetch ViT-L-14-336px.pt from'): odise.clip.load_clip('ViT-L-14-336', 'openai')
    file = home/'clip-vit-l-14-336'/'ViT-L-14-336px.pt'
    file.parent.mkdir()
    file.write_bytes(b'')
    built = []
    def record(config, path, image_size=None):
        built.append((config['quick_gelu'], path))
        raise KeyboardInterrupt
    monkeypatch.setattr(odise.clip, 'filled_clip', record)
    for asked in (('ViT-L-14-336', 'openai'), ('ViT-L-14-336-quickgelu', 'openai'), ('clip-vit-l-14-336',), ('ViT-L-14-336', str(file))):
        with pytest.raises(KeyboardInterrupt): odise.clip.load_clip(*asked)
    assert built == [(True, file)]*4
    (home/'gelu.json').write_text(json.dumps(odise.clip.clip_config('ViT-L-14-336') | dict(quick_gelu=False)))
    with pytest.raises(ValueError, match='weights were trained with True'): odise.clip.load_clip(home/'gelu.json', file)
    with pytest.raises(KeyboardInterrupt): odise.clip.load_clip(home/'gelu.json', file, quick_gelu=False)   # who knows better says so
    assert built[-1] == (False, file)


def test_a_clip_that_is_none(tmp_path, home):
    for source,says in (('ViT-L-41', 'names that come near'), ('label-coco', 'not a CLIP'), ('someone/clip', 'pin it as'), (str(tmp_path/'x.json'), 'no such file')):
        with pytest.raises((ValueError, FileNotFoundError), match=says): odise.clip.load_clip(source, 'openai')
    card = data_path('micro', 'clip')/'open_clip_config.json'
    save_file({'weight': torch.zeros(1)}, tmp_path/'other.safetensors')
    shutil.copy(card, tmp_path/'sizes.json')
    shutil.copy(card.with_name('bpe.txt.gz'), tmp_path)
    with pytest.raises(ValueError, match='other.safetensors') as error: odise.clip.load_clip(tmp_path/'sizes.json', tmp_path/'other.safetensors')
    assert '\n' not in str(error.value)
