"Synonym maximum, the seen rule, α/β fusion and the class tails of both models against the reference."
from pathlib import Path
import torch
from odise.fusion import background_probability, class_probabilities, cosine_logits, geometric_ensemble, max_over_synonyms
from odise.text import Vocabulary
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
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
    assert errors['cat_noclip'] <= reference.atol, 'cat_noclip_mask_cls'
    return errors
