"""Binary cross-entropy of single objects."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...structures import ClipRecord, RowLogits
from .base import NoteLoss
from .truth import row_truth, seen_rows


@LOSSES.register_module(examples=[dict()])
class ObjectBCE(NoteLoss):
    """Binary cross-entropy of each object's own logits, before objects are merged (FRTM, section 3.3).

    With the difference of two logits, object less background, it is the negative log-likelihood of their softmax (NLL;
    TTVOS). Mean over objects and pixels that are not void, then over frames.

    Args:
        weight: of the loss in the sum.
    """

    name = "bce"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        values = [self.rows(note, frame.labels) for frame in record.scored() for note in frame.notes
                  if isinstance(note, RowLogits)]
        return torch.stack(values).mean() if values else torch.zeros(())

    def rows(self, note: RowLogits, labels: Tensor) -> Tensor:
        """Scalar of one frame; ``labels`` (B, H, W) by channel."""
        truth, seen = row_truth(labels, note.rows), seen_rows(labels, note.rows)
        logits = F.interpolate(note.logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        values = F.binary_cross_entropy_with_logits(logits.float(), truth.float(), reduction="none")
        return (values * seen).sum() / seen.sum().clamp(min=1)
