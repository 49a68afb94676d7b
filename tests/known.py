"A model that answers what it was told, for tests of all that comes after a model."
import torch
import torch.nn.functional as F
from torch import nn

from odise.model import Look, Naming, TextHead
from odise.text import Vocabulary


class Known(nn.Module, Naming):
    "The true masks of a set's pictures, `shift` pixels aside, each sure of its class."
    cover = windows = None
    short_side, max_side, alpha, beta, thresholds = 64, 1024, 0.3, 0.7, dict(object_threshold=0., overlap_threshold=0.8)

    def __init__(self, dataset, shift=0):
        super().__init__()
        torch.manual_seed(0)
        self.text_head, self.training_names, self.shift = TextHead(4, 4), Vocabulary.read(dataset.categories), shift
        self.class_of, self.samples = dataset.class_of, {s.image.numpy().tobytes(): s for s in dataset}

    def look_batch(self, images): return [self.look_at(image) for image in images]

    def look_at(self, image):
        sample = self.samples[image.numpy().tobytes()]
        ids = torch.tensor([s['id'] for s in sample.segments_info], dtype=sample.panoptic.dtype)   # crowds too
        masks = torch.where(sample.panoptic == ids[:, None, None], 20., -20.).roll(self.shift, -1)
        labels = torch.tensor([self.class_of[s['category_id']] for s in sample.segments_info], dtype=torch.long)
        told, size = F.one_hot(labels, len(self.class_of)).float(), tuple(image.shape[-2:])
        return Look(image, masks, told, told, None, size, size)

    def opinions(self, look, vocabulary): return 50*look.mask_embed[None], 50*look.clip_embed[None], torch.zeros(1, len(look.mask_embed))
