"""A clip-level model without learning whose tracks are known beforehand."""

import torch
from torch import nn

from vosplug.models.preprocessors import VISPreprocessor
from vosplug.models.tracklets.linking import ClipTracks
from vosplug.structures import ObjectIds, VideoState

BOXES = ((4, 4, 20, 16), (24, 10, 40, 26), (8, 6, 24, 26))


class FixedTracks(nn.Module):
    """Three tracks of filled boxes, classes 2, 0 and 1 of three; the last overlaps the first.

    The scores of a track are ``scores[track][clip]`` (the last one from then on): so they may change from clip to clip.
    Ids are 7, 8, 9 in the order of ``BOXES``; 8 becomes 12 from clip ``renewed`` on.
    """

    def __init__(self, clip_length: int = 4, scores=((0.9,), (0.6, 0.2), (0.1,)), renewed: int = 10**9):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.data_preprocessor = VISPreprocessor(divisor=1)
        self.clip_length, self.num_classes, self.scores, self.renewed = clip_length, 3, scores, renewed
        self.lengths = []

    def init_state(self, batch_size: int = 1) -> VideoState:
        return VideoState(batch_size=batch_size)

    def step(self, state, clip, sizes):
        length, number = clip.shape[1], state.cache.get("clips", 0)
        state.cache["clips"] = number + 1
        self.lengths.append(length)
        scores = torch.full((1, length, 3, 3), 0.01)
        for track, (label, values) in enumerate(zip((2, 0, 1), self.scores, strict=True)):
            scores[..., track, label] = values[min(number, len(values) - 1)]
        boxes = torch.tensor(BOXES).float().expand(1, length, -1, -1)
        ids = (7, 12 if number >= self.renewed else 8, 9)
        return ClipTracks(scores=scores, boxes=boxes, masks=torch.ones(1, length, 3, 8, 8),
                          labels=torch.tensor([[2, 0, 1]]), ids=[ObjectIds(ids)])


def pictures(count: int = 10, size=(40, 60)) -> list:
    """Grey frames (H, W, 3) uint8."""
    import numpy as np

    return [np.full((*size, 3), 80 + t, np.uint8) for t in range(count)]
