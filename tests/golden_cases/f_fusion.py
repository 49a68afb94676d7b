"Synonym maximum, the seen rule, α/β fusion and the class tails of both models against the reference."
import json, re
from pathlib import Path
import torch
from safetensors.torch import load_file
from odise.fusion import background_probability, class_probabilities, cosine_logits, geometric_ensemble, max_over_synonyms
from odise.text import Vocabulary

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    info = json.loads((folder/'README.json').read_text())
    rtol,atol = map(float, re.findall(r'1e-\d', info['tolerance']))
    data,errors = load_file(folder/'data.safetensors'),{}
    def same(name, got):
        want = data[name]
        errors[name] = ((got - want).abs()/(want.abs() + atol/rtol)).max().item()
        assert got.shape == want.shape and errors[name] <= rtol, f'{name}: error {errors[name]:.2e}'
    names,known = Vocabulary.read(info['labels']),Vocabulary.read(info['train_labels'])
    seen,k = torch.tensor(names.with_seen(known).seen),len(names)
    assert torch.equal(seen, data['seen_mask']), 'seen_mask'
    same('syn_max', max_over_synonyms(data['syn_logits'], names.class_of, k))
    log_p,log_q = (data[n].log_softmax(-1) for n in ('class_logits', 'clip_logits'))
    for name,c in info['configs'].items():
        if c['normalize_logits']: same(name, geometric_ensemble(log_p, log_q, seen, c['alpha_seen'], c['beta_unseen']))
    text = torch.cat([data['tail_text_embed'], data['tail_null_embed']])
    logits = cosine_logits(data['tail_mask_embed'], text, data['tail_logit_scale'])
    logits = max_over_synonyms(logits, (*names.class_of, k), k + 1)
    empty,ours = background_probability(logits),logits[..., :k]
    same('cat_clip_pred_logits_before_clip', logits)
    share = info['configs']['fused_0']
    fuse = lambda clip, empty, share: (class_probabilities(ours, clip, empty, seen, share['alpha_seen'], share['beta_unseen']) + 1e-8).log()[0]
    same('cat_clip_mask_cls', fuse(data['tail_clip_logits'], empty, share))
    same('cap_mask_cls', fuse(data['cap_clip_logits'], background_probability(data['cap_binary_logits']), info['configs']['fused_1']))
    alone = class_probabilities(ours, None, empty, mode='diffusion')[0]
    errors['cat_noclip'] = (alone - data['cat_noclip_mask_cls'].softmax(-1)).abs().max().item()
    assert errors['cat_noclip'] <= atol, 'cat_noclip_mask_cls'
    return errors
