"Panoptic, semantic and instance results against the reference."
import re
from pathlib import Path
import torch
from odise.panoptic import instance_inference, panoptic_inference, semantic_argmax, semantic_inference
from reference import Reference

def check(folder:Path)->dict:
    "Largest error per tensor, relative to the tolerance's scale; raises where one is too large."
    reference = Reference(folder)
    info,data,same,errors = reference.info,reference.data,reference.same,reference.errors
    things = range(*(int(x) + i for i,x in enumerate(re.search(r'class ids (\d+)\.\.(\d+)', info['meaning']).groups())))
    top = int(re.search(r'top-k (\d+)', info['meaning'])[1])
    step = int(re.search(r'::(\d+)', info['meaning'])[1])
    for case,setting in info['cases'].items():
        probs,masks = data[f'{case}_mask_cls'].softmax(-1),data[f'{case}_mask_logits'].float()
        isthing = [i in things for i in range(probs.shape[1] - 1)]
        panoptic,segments = panoptic_inference(probs, masks, isthing, setting['object_mask_threshold'], setting['overlap_threshold'])
        assert torch.equal(panoptic, data[f'{case}_panoptic'].int()), f'{case}_panoptic'
        assert [{k: s[k] for k in ('id', 'isthing', 'category_id')} for s in segments] == setting['segments_info'], f'{case}_segments_info'
        scores = semantic_inference(probs, masks)
        same(f'{case}_sem_sample', scores[:, ::step, ::step])
        for best in (scores.argmax(0), semantic_argmax(probs, masks)):
            assert torch.equal(best, data[f'{case}_sem_argmax'].long()), f'{case}_sem_argmax'
        found = instance_inference(probs, masks, isthing, top)
        assert len(found['scores']) == setting['n_instances'], f'{case}_n_instances'
        same(f'{case}_inst_scores', found['scores'])
        tied = found['scores'] == 0   # empty masks: their order is arbitrary
        for part in (lambda x: x[~tied], lambda x: x[tied].sort().values):
            assert torch.equal(part(found['classes']), part(data[f'{case}_inst_classes'])), f'{case}_inst_classes'
        same(f'{case}_inst_mask_area', found['masks'].sum((1, 2)).float())
    return errors
