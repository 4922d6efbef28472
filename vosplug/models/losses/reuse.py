"""Losses of reuse gates (Park et al., CVPR 2021, section 3.4)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...structures import ClipRecord, Decision, ScoreChange
from ...utils.errors import ConfigError
from .base import NoteLoss

FORMS = ("hinge", "max")


@LOSSES.register_module(examples=[dict()])
class DeltaLoss(NoteLoss):
    """Mean square of delta - (y' - S): the predicted change of the score, against that to the true mask (Eq. 3).

    y' is the mask of the frame at the stride of the score, bilinearly. All frames and rows count alike.

    Args:
        weight: of the loss in the sum.
    """

    name = "delta"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        values = [F.mse_loss(note.delta, note.truth.to(note.delta) - note.score.to(note.delta))
                  for note in record.noted(ScoreChange) if note.truth is not None]
        return torch.stack(values).mean() if values else torch.zeros(())


@LOSSES.register_module(examples=[dict(), dict(m1=0.5, m2=0.1, form="max")])
class GateProbabilityLoss(NoteLoss):
    """Make the probability of reuse the IoU of the object's masks now and on the last full frame (Eq. 4 and 5).

    The target is max(m, IoU), with a margin m that grows linearly from 0 to ``m1``. Literally, m1 = 1 asks for reuse of
    everything in the end; 0 asks for the IoU itself, which is what the published code does in effect.

    Args:
        m1: final margin of the target.
        m2: differences up to this cost nothing (``hinge``) or a constant (``max``).
        ramp: share of the training after which the margin is ``m1`` (120 of 260 epochs).
        form: ``hinge``: max(0, |P - target| - m2)^2; ``max``, as printed: max(m2, |P - target|)^2.
        empty_iou: IoU of two empty masks.
        weight: of the loss in the sum.
    """

    name = "gate"

    def __init__(self, m1: float = 0.0, m2: float = 0.0, ramp: float = 120 / 260, form: str = "hinge",
                 empty_iou: float = 0.0, weight: float = 1.0):
        super().__init__()
        for option, value in (("m1", m1), ("m2", m2), ("empty_iou", empty_iou)):
            if not 0 <= value <= 1:
                raise ConfigError(f"GateProbabilityLoss.{option} must lie in 0..1, got {value}")
        if not 0 < ramp <= 1:
            raise ConfigError(f"GateProbabilityLoss.ramp must be a share of the training above 0, got {ramp}")
        if form not in FORMS:
            raise ConfigError(f"GateProbabilityLoss.form must be one of {', '.join(FORMS)}, got {form!r}")
        self.m1, self.m2, self.ramp, self.form, self.empty_iou, self.weight = m1, m2, ramp, form, empty_iou, weight
        self.margin = 0.0

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Set the margin of an iteration; called by the training loop."""
        self.margin = self.m1 * min(1.0, iteration / (self.ramp * max_iterations))

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        pairs = list(free_decisions(record, self.empty_iou))
        if not pairs:
            return torch.zeros(())
        probability, ious = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return self.penalty(probability, ious).mean()

    def penalty(self, probability: Tensor, ious: Tensor) -> Tensor:
        """(N,) loss of each decision."""
        distance = (probability - ious.clamp(min=self.margin)).abs()
        if self.form == "hinge":
            return (distance - self.m2).clamp(min=0).square()
        return distance.clamp(min=self.m2).square()

    @torch.no_grad()
    def numbers(self, record: ClipRecord) -> dict[str, Tensor]:
        """``reuse_rate`` of the decisions that were free, and ``true_iou``, the mean of the IoUs."""
        reused = [d.reused[~d.forced] for d in record.noted(Decision)]
        ious = [iou for _, iou in free_decisions(record, self.empty_iou)]
        if not ious:
            return {}
        return {"reuse_rate": torch.cat(reused).float().mean(), "true_iou": torch.cat(ious).mean()}


@LOSSES.register_module(examples=[dict()])
class GateRateLoss(NoteLoss):
    """(mean of the gates of batch and frames - target)^2: a fixed rate, as adaptive inference graphs are trained.

    The comparison of the paper's Table 2 (``Loss_Ngate``). Gates are hard, with straight-through gradients.

    Args:
        target: rate of reuse.
        weight: of the loss in the sum.
    """

    name = "gate_rate"

    def __init__(self, target: float = 0.5, weight: float = 1.0):
        super().__init__()
        if not 0 <= target <= 1:
            raise ConfigError(f"GateRateLoss.target must lie in 0..1, got {target}")
        self.target, self.weight = target, weight

    def forward(self, record: ClipRecord) -> Tensor:
        """See the class."""
        gates = []
        for decision in record.noted(Decision):
            if decision.forced.all():
                continue
            soft = decision.probability[~decision.forced.to(decision.probability.device)]
            hard = decision.reused[~decision.forced].to(soft)
            gates.append(hard + soft - soft.detach())
        return (torch.cat(gates).mean() - self.target).square() if gates else torch.zeros(())


def free_decisions(record: ClipRecord, empty_iou: float) -> Iterator[tuple[Tensor, Tensor]]:
    """For each frame: (N,) probabilities of the rows that had a choice, and their true IoUs."""
    for note in record.noted(Decision):
        free = ~note.forced.to(note.probability.device)
        if note.iou is not None and free.any():
            ious = note.iou[free]
            yield note.probability[free], torch.where(ious.isnan(), torch.full_like(ious, empty_iou), ious)
