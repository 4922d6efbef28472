"""What was done on a frame: read by losses, reports, distillers and statistics."""

from dataclasses import dataclass

from torch import Tensor

from .rows import Key, Rows


@dataclass
class Work:
    """What a sparse layer did for one frame.

    Attributes:
        layer: its name.
        cost: multiply-accumulates of the convolution per site.
        gate_macs: multiply-accumulates of the gate, in total.
        sites: N * H_out * W_out.
        policy: (N, H_out, W_out) uint8, 0 skipped, 1 reused, 2 computed; None for a frame that was processed densely.
        chosen: in training, the number of sites that the gate chose to compute, differentiable; only of rows that had
            previous features, since the others leave no choice.
        decided: number of sites that ``chosen`` counts among.
    """

    layer: str
    cost: int
    gate_macs: int
    sites: int
    policy: Tensor | None = None
    chosen: Tensor | None = None
    decided: int = 0

    def counts(self) -> tuple[int, int, int]:
        """Number of sites that were (skipped, reused, computed)."""
        if self.policy is None:
            return 0, 0, self.sites
        skipped, reused = (int((self.policy == kind).sum()) for kind in (0, 1))
        return skipped, reused, self.sites - skipped - reused

    @property
    def macs(self) -> int:
        """Multiply-accumulates really done, gate included."""
        return self.counts()[2] * self.cost + self.gate_macs

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the dense convolution."""
        return self.sites * self.cost


@dataclass
class Decision:
    """What a gate decided for the rows of a frame.

    Attributes:
        keys: whose rows, see :class:`~vosplug.structures.Rows`; objects of a group of AOT's, ``(video, "group 0")``,
            decide together.
        reused: (R,) bool on the CPU, rows for which the frame was not computed.
        probability: (R,) of reuse, differentiable in training; None for gates that have none.
        forced: (R,) bool on the CPU, rows that left no choice (objects that start, ...).
        iou: (R,) IoU of the row's true masks now and on the frame that was last computed for it, in training; nan where
            both are empty.
    """

    keys: tuple[Key, ...]
    reused: Tensor
    probability: Tensor | None = None
    forced: Tensor | None = None
    iou: Tensor | None = None


@dataclass
class ScoreChange:
    """How the score of each row was predicted to change since the frame that was last computed for it.

    Attributes:
        rows: the R rows.
        delta: (R, 1, h, w) predicted change.
        score: (R, 1, h, w) of the frame that was last computed.
        truth: (R, 1, h, w) true masks of this frame, in training.
    """

    rows: Rows
    delta: Tensor
    score: Tensor
    truth: Tensor | None = None


@dataclass
class RowLogits:
    """The logits of each row before they are composed, for losses on single objects.

    Attributes:
        rows: the R rows.
        logits: (R, K, h, w).
    """

    rows: Rows
    logits: Tensor


@dataclass
class MaskTransition:
    """How the mask of each row was predicted to change since the frame before, in training.

    Attributes:
        rows: the R rows.
        change: (R, 2, h, w) predicted change of background and object.
        before: (R, 1, h, w) mask that was estimated for the frame before.
    """

    rows: Rows
    change: Tensor
    before: Tensor


@dataclass
class TemplateMask:
    """What a template alone says of the mask of each row, in training.

    Attributes:
        rows: the R rows.
        logits: (R, 1, h, w).
    """

    rows: Rows
    logits: Tensor


@dataclass
class Tap:
    """A tensor that is published under a name, for losses between two models.

    Attributes:
        name: such as ``propagation.0.id.output``.
        tensor: of any shape; which one the place that publishes it tells.
    """

    name: str
    tensor: Tensor


@dataclass
class ReferencePrediction:
    """What is predicted for a frame whose masks are given, with these masks in its memory (training of AOT).

    Attributes:
        logits: (B, O + 1, H, W), as those of :class:`~vosplug.structures.StepOutput`.
        clips: (B,) bool on the CPU, the clips that have objects.
    """

    logits: Tensor
    clips: Tensor
