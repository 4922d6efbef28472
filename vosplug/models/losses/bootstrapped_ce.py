"""Cross-entropy on the hardest pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...utils.errors import ConfigError
from ...utils.masks import VOID
from .base import PixelLoss


@LOSSES.register_module(examples=[dict(), dict(start_warm=0, end_warm=0, top_p=0.2)])
class BootstrappedCE(PixelLoss):
    """Cross-entropy over the hardest share of the pixels of each clip, which shrinks from all of them to ``top_p``.

    STCN and SpVOS (Eq. 10, segmentation term): all pixels until ``start_warm`` iterations, then a share that falls
    linearly to ``top_p`` at ``end_warm``.

    Args:
        start_warm, end_warm: iterations; numbers below or equal to 1.0 given as floats are shares of the training.
        top_p: final share of pixels.
        count_void: void pixels count among the pixels, with a loss of zero (CFBI); else they are left out.
        weight: of the loss in the sum.
    """

    name = "ce"

    def __init__(self, start_warm: int | float = 20_000, end_warm: int | float = 70_000, top_p: float = 0.15,
                 count_void: bool = False, weight: float = 1.0):
        super().__init__()
        if not 0 < top_p <= 1:
            raise ConfigError(f"BootstrappedCE.top_p must lie in (0, 1], got {top_p}")
        if end_warm < start_warm:
            raise ConfigError(f"BootstrappedCE.end_warm ({end_warm}) must not come before start_warm ({start_warm})")
        self.start_warm, self.end_warm, self.top_p = start_warm, end_warm, top_p
        self.count_void, self.weight = count_void, weight
        self.share = 1.0

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Set the share of pixels for an iteration; called by the training loop."""
        start, end = (x * max_iterations if isinstance(x, float) and x <= 1 else x
                      for x in (self.start_warm, self.end_warm))
        if iteration < start:
            self.share = 1.0
        elif iteration >= end:
            self.share = self.top_p
        else:
            self.share = self.top_p + (1 - self.top_p) * (end - iteration) / (end - start)

    def pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, O+1, H, W) logits, (B, H, W) int64 labels with 255 = void -> mean over clips."""
        return torch.stack([self.reduce(values) for values in self.pixel_losses(logits, labels)]).mean()

    def pixel_losses(self, logits: Tensor, labels: Tensor) -> list[Tensor]:
        """Losses (M,) of the pixels of each clip that count."""
        values = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none")
        if self.count_void:
            return list(values.flatten(1))
        return [v[row != VOID] for v, row in zip(values, labels, strict=True)]

    def reduce(self, values: Tensor) -> Tensor:
        """Mean of the hardest share of (M,) losses."""
        if self.share >= 1 or values.numel() == 0:
            return values.sum() / max(1, values.numel())
        return values.topk(max(1, int(values.numel() * self.share)), sorted=False).values.mean()
