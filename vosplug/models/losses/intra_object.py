"""Relations between the pixels of an object (DIST, Huang et al., NeurIPS 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...utils.errors import ConfigError
from .inter_object import checked_temperature
from .pair import PairLoss, pearson_distance, probabilities

SCOPES = ("clip", "batch")


@LOSSES.register_module(role="pair", examples=[dict(), dict(scope="batch"), dict(channels=11)])
class IntraObjectLoss(PairLoss):
    """Mean over objects and background of the Pearson distance of their maps of probabilities (paper, Eq. 11).

    Args:
        scope: ``clip``: the pixels of one frame of one clip, as object j of another clip is another object. ``batch``:
            those of all clips together, as Algorithm 1 is written.
        channels: maps of zeros are added up to this number, as in AOT's own logits; each costs exactly 1 and teaches
            nothing. None: those that exist.
        temperature: of the softmax.
        weight: of the loss in the sum.
    """

    name, reads = "intra", "logits"

    def __init__(self, scope: str = "clip", channels: int | None = None, temperature: float = 1.0,
                 weight: float = 1.0):
        super().__init__()
        if scope not in SCOPES:
            raise ConfigError(f"IntraObjectLoss.scope must be one of {', '.join(SCOPES)}, got {scope!r}")
        if channels is not None and channels < 2:
            raise ConfigError(f"IntraObjectLoss.channels must be at least 2, background and one object, got {channels}")
        self.scope, self.channels, self.weight = scope, channels, weight
        self.temperature = checked_temperature(self, temperature)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, O + 1, h, w) logits of both -> mean over maps, then over clips."""
        exists = ~teacher.isneginf().flatten(2).all(dim=2)  # (B, O + 1)
        ours, theirs = (probabilities(x, self.temperature).flatten(2) for x in (student, teacher))
        if self.scope == "batch":
            ours, theirs = (x.transpose(0, 1).flatten(1)[None] for x in (ours, theirs))
            exists = exists.any(dim=0, keepdim=True)
        distance = pearson_distance(ours, theirs)  # (B, O + 1)
        if self.channels is not None and self.channels > distance.shape[1]:
            more = self.channels - distance.shape[1]
            distance, exists = F.pad(distance, (0, more), value=1.0), F.pad(exists, (0, more), value=True)
        distance = torch.where(exists, distance, 0.0)
        return (distance.sum(dim=1) / exists.sum(dim=1)).mean()
