"""Soft Dice loss."""

import torch
from torch import Tensor

from ...registry import LOSSES
from ...utils.masks import VOID
from .base import PixelLoss


@LOSSES.register_module(examples=[dict()])
class DiceLoss(PixelLoss):
    """1 - (2 p.g + 1) / (p.p + g.g + 1) per object on aggregated probabilities (Milletari et al., 2016), meaned.

    Args:
        weight: of the loss in the sum.
    """

    name = "dice"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, O+1, H, W) logits (-inf for objects a clip does not have), (B, H, W) int64 labels with 255 = void."""
        objects = logits.shape[1] - 1
        seen = (labels != VOID)[:, None]
        prob = logits.softmax(dim=1)[:, 1:] * seen
        ids = torch.arange(1, objects + 1, device=labels.device)[:, None, None]
        truth = (labels[:, None] == ids).to(prob.dtype)
        overlap = (prob * truth).sum(dim=(2, 3))
        total = prob.square().sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
        exists = torch.isfinite(logits[:, 1:]).flatten(2).any(dim=2)
        values = 1 - (2 * overlap + 1) / (total + 1)
        return (values * exists).sum() / exists.sum().clamp(min=1)
