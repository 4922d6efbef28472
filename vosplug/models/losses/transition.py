"""TTVOS's temporal consistency loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...structures import ClipRecord, MaskTransition
from ...utils.errors import ConfigError
from .base import NoteLoss
from .truth import row_truth, seen_rows

ACTIVATIONS = (None, "softmax")


@LOSSES.register_module(examples=[dict(), dict(activation="softmax")])
class TransitionLoss(NoteLoss):
    """Mean square of what a decoder says of the change of a mask, less the change to the true mask (TTVOS).

    The change is that of background and object since the estimate for the frame before, which is a constant here:
    true mask - estimate of the object, the negative of it for the background. Both masks are brought to the stride of
    the decoder bilinearly. Cells that touch void pixels do not count.

    Args:
        activation: None: the decoder's map is compared as it is, since a change may be negative. ``softmax`` over both
            channels, which cannot be, is what the published code trains.
        weight: of the loss in the sum.
    """

    name = "transition"

    def __init__(self, activation: str | None = None, weight: float = 1.0):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"TransitionLoss.activation must be None or 'softmax', got {activation!r}")
        self.activation, self.weight = activation, weight

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        values = [self.rows(note, frame.labels) for frame in record.scored() for note in frame.notes
                  if isinstance(note, MaskTransition)]
        return torch.stack(values).mean() if values else torch.zeros(())

    def rows(self, note: MaskTransition, labels: Tensor) -> Tensor:
        """Scalar of one frame; ``labels`` (B, H, W) by channel."""
        found = note.change.softmax(dim=1) if self.activation else note.change
        size = found.shape[-2:]
        truth, seen = (F.interpolate(x.to(found), size=size, mode="bilinear", align_corners=False)
                       for x in (row_truth(labels, note.rows), seen_rows(labels, note.rows)))
        change = truth - note.before.to(found)
        counts = (seen > 1 - 1e-4).to(found)
        squares = (found - torch.cat([-change, change], dim=1)).square().mean(dim=1, keepdim=True)
        return (squares * counts).sum() / counts.sum().clamp(min=1)
