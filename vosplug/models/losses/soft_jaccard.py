"""Soft Jaccard loss."""

import torch
from torch import Tensor

from ...registry import LOSSES
from ...utils.masks import VOID
from .base import PixelLoss

EPSILON = 1e-6


@LOSSES.register_module(examples=[dict()])
class SoftJaccardLoss(PixelLoss):
    """1 - I / (U + eps) of each class that a clip's labels show, background included, meaned over classes and clips.

    I = sum of p g, U = sum of p + g - p g (Nowozin, 2014; AOT trains with it beside cross-entropy).

    Args:
        weight: of the loss in the sum.
    """

    name = "jaccard"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, O+1, H, W) logits (-inf for objects a clip does not have), (B, H, W) int64 labels with 255 = void."""
        seen = (labels != VOID)[:, None]
        prob = logits.softmax(dim=1) * seen
        classes = torch.arange(logits.shape[1], device=labels.device)[:, None, None]
        truth = (labels[:, None] == classes).to(prob.dtype)
        overlap = (prob * truth).sum(dim=(2, 3))
        area = truth.sum(dim=(2, 3))
        values = 1 - overlap / (prob.sum(dim=(2, 3)) + area - overlap + EPSILON)
        present = area > 0
        return ((values * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)).mean()
