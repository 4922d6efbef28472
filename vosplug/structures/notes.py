"""What was done on a frame: read by losses, reports, distillers and statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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
        tensor: (R, L, C) of the cells of a grid, or (R, C, h, w); R is B where there are no ``rows``.
        grid: (h, w) of the L cells, None for maps (R, C, h, w).
        rows: whose R rows; None for what belongs to the frame.
        slots: how many rows of a video may stand side by side in the channels.
    """

    name: str
    tensor: Tensor
    grid: tuple[int, int] | None = None
    rows: Rows | None = None
    slots: int = 1


def joined_taps(taps: Sequence[Tap]) -> Tap:
    """Taps of one name, of a frame, as one of the whole batch.

    Rows of a video stand side by side in the channels, zeros where there is none: (B, L, S C), or (B, S C, h, w) of
    maps. Of attention weights (B, L, N) those of a shorter memory end with zeros.
    """
    first = taps[0]
    if first.rows is None:
        tensors = [tap.tensor for tap in taps]
        return first if len(taps) == 1 else Tap(first.name, torch.cat(tensors, dim=-1), first.grid)
    width = max(tap.tensor.shape[-1] for tap in taps)
    tensor = torch.cat([F.pad(tap.tensor, (0, width - tap.tensor.shape[-1])) for tap in taps])
    batch, slot = (torch.cat([getattr(tap.rows, name) for tap in taps]) for name in ("batch", "slot"))
    order = (batch * first.rows.shape[1] + slot).argsort()
    keys = [key for tap in taps for key in tap.rows.keys]
    rows = Rows(batch[order], slot[order], tuple(keys[place] for place in order.tolist()), first.rows.shape)
    table = rows.scatter(tensor if len(taps) == 1 else tensor[order])  # (B, S, L, C) or (B, S, C, h, w)
    joined = table.flatten(1, 2) if first.grid is None else table.movedim(1, 2).flatten(2)
    return Tap(first.name, joined, first.grid, slots=table.shape[1])


@dataclass
class ReferencePrediction:
    """What is predicted for a frame whose masks are given, with these masks in its memory (training of AOT).

    Attributes:
        logits: (B, O + 1, H, W), as those of :class:`~vosplug.structures.StepOutput`.
        clips: (B,) bool on the CPU, the clips that have objects.
    """

    logits: Tensor
    clips: Tensor
