"""Relations between the objects of a pixel (DIST, Huang et al., NeurIPS 2022)."""

import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...utils.errors import ConfigError
from .pair import PairLoss, pearson_distance, probabilities


@LOSSES.register_module(role="pair", examples=[
    dict(channels=11), dict(channels=4, temperature=2.0), dict(max_objects=6)])
class InterObjectLoss(PairLoss):
    """Mean over pixels of the Pearson distance of their probabilities (paper, Eq. 10); Y = softmax(Z).

    Between two channels a correlation is 1 or -1 and has no gradient, and so one object teaches nothing. Probabilities
    are therefore padded with zeros, as if objects were there that nobody sees.

    Args:
        channels: background and objects, existing and padded; None for ``max_objects + 1``.
        temperature: of the softmax.
        weight: of the loss in the sum.
        max_objects: of the student; given by the task.
    """

    name, reads = "inter", "logits"

    def __init__(self, channels: int | None = None, temperature: float = 1.0, weight: float = 1.0,
                 max_objects: int | None = None):
        super().__init__()
        channels = 1 + (max_objects or 10) if channels is None else channels
        if channels < 2:
            raise ConfigError(f"InterObjectLoss.channels must be at least 2, background and one object, got {channels}")
        self.channels, self.temperature, self.weight = channels, checked_temperature(self, temperature), weight

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, O + 1, h, w) logits of both -> mean over pixels and clips."""
        ours, theirs = (self.padded(probabilities(x, self.temperature)) for x in (student, teacher))
        return pearson_distance(ours, theirs).mean()

    def padded(self, prob: Tensor) -> Tensor:
        """(B, O + 1, h, w) -> (B, h, w, channels or O + 1 if there are more)."""
        return F.pad(prob.movedim(1, -1), (0, max(0, self.channels - prob.shape[1])))


def checked_temperature(loss: PairLoss, temperature: float) -> float:
    """``temperature``, which must be above 0."""
    if not temperature > 0:
        raise ConfigError(f"{type(loss).__name__}.temperature must be above 0, got {temperature}")
    return temperature
