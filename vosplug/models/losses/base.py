"""What all losses of semi-supervised segmentation share: they read the record of a clip."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from ...structures import ClipRecord, Work


class ClipLoss(nn.Module):
    """Base of losses: called with what happened on a batch of clips.

    Attributes:
        name: under which the loss is logged.
        weight: of the loss in the sum; applied by the task.
    """

    name: str
    weight: float

    @abstractmethod
    def forward(self, record: ClipRecord) -> Tensor:
        """A scalar."""

    def numbers(self, record: ClipRecord) -> dict[str, Tensor]:
        """What to log beside the loss, by name."""
        return {}


class PixelLoss(ClipLoss):
    """Base of losses on masks: :meth:`pixels` of each frame that was predicted, averaged over these."""

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        values = [self.pixels(*frame.predicted()) for frame in record.scored()]
        return sum(values) / len(values) if values else torch.zeros(())

    @abstractmethod
    def pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar of (B, O + 1, H, W) logits and (B, H, W) int64 labels, of which 255 is void."""


class NoteLoss(ClipLoss):
    """Base of losses on what was done: in a batch they may read nothing of some part of the model."""


class WorkLoss(NoteLoss):
    """Base of losses on what sparse layers did."""

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        return self.work(list(record.noted(Work)))

    @abstractmethod
    def work(self, work: list[Work]) -> Tensor:
        """Scalar of the work of a batch; zero where no gate decided anything."""

    def numbers(self, record: ClipRecord) -> dict[str, Tensor]:
        """``density``: share of the multiply-accumulates that gates chose, where they decided (SpVOS, Eq. 12)."""
        decided = [w for w in record.noted(Work) if w.decided]
        chosen = sum(w.cost * w.chosen.detach() for w in decided)
        return {"density": torch.as_tensor(chosen / max(1, sum(w.cost * w.decided for w in decided)))}
