"""TTVOS's loss on what a template finds."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...structures import ClipRecord, TemplateMask
from .base import NoteLoss
from .truth import row_truth, seen_rows


@LOSSES.register_module(examples=[dict()])
class TemplateMaskLoss(NoteLoss):
    """Binary cross-entropy of the mask that a template alone gives, against the true one (TTVOS).

    The true mask is brought to the stride of the template by nearest neighbour. Mean over objects and cells that are
    not void, then over frames.

    Args:
        weight: of the loss in the sum.
    """

    name = "template"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        values = [self.rows(note, frame.labels) for frame in record.scored() for note in frame.notes
                  if isinstance(note, TemplateMask)]
        return torch.stack(values).mean() if values else torch.zeros(())

    def rows(self, note: TemplateMask, labels: Tensor) -> Tensor:
        """Scalar of one frame; ``labels`` (B, H, W) by channel."""
        logits = note.logits.float() if note.logits.dtype != torch.float64 else note.logits
        truth, seen = (F.interpolate(x.to(logits), size=logits.shape[-2:], mode="nearest")
                       for x in (row_truth(labels, note.rows), seen_rows(labels, note.rows)))
        values = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (values * seen).sum() / seen.sum().clamp(min=1)
