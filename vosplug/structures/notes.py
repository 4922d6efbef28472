"""What was done on a frame: notes that layers, gates and heads leave for losses, reports and distillers."""

from collections.abc import Hashable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Work:
    """What a sparse convolution did for one frame.

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
    """What a reuse gate decided.

    Attributes:
        keys: of the R rows that it was asked about.
        probability: (R,), of reusing.
        reused: (R,) bool.
    """

    keys: tuple[Hashable, ...]
    probability: Tensor
    reused: Tensor


@dataclass
class Tap:
    """A tensor that somebody may want to look at, attention maps for instance."""

    name: str
    tensor: Tensor


@dataclass
class Frame:
    """What kind of frame it was: ``first``, ``memory`` or ``query``."""

    kind: str
