"""What every spatiotemporal attention answers."""

from abc import abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ...utils.errors import ConfigError


@dataclass
class Attended:
    """What an attention gave.

    Attributes:
        out: (B, heads * DV, n, h, w).
        affinity: (B, heads, S, a, h, w) of the last a frames, None if no labels were given.
        lse: (B, heads, n, h, w), logarithm of the sum of exp(score) over what a cell sees, None unless asked for.
    """

    out: Tensor
    affinity: Tensor | None = None
    lse: Tensor | None = None

    @classmethod
    def joined(cls, parts: list["Attended"]) -> "Attended":
        """The same of several groups of heads, side by side."""
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(**{name: None if found[0] is None else torch.cat(found, dim=1) for name, found in columns.items()})


class SpacetimeAttention(nn.Module):
    """softmax(Q_p K_I^T) V_I over the cells I that each cell p sees (SST, Eq. 6), without weights of its own.

    Time is dense: what a cell sees of a frame does not depend on how far away the frame is.
    """

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, heads: int = 1, scale: float = 1.0, causal: bool = False,
                query_frames: int | None = None, slots: Tensor | None = None, count: int = 0,
                affinity_frames: int | None = None, clamp: bool = True, with_lse: bool = False) -> Attended:
        """Attend.

        Args:
            q: (B, heads * D, n, h, w), the last n of the frames of k. k: (B, heads * D, T, h, w). v: (B, heads * DV, T,
                h, w).
            heads: each with its slice of the channels.
            scale: factor of the scores.
            causal: cells see no later frame.
            query_frames: n; None: T.
            slots: (B, T, h, w) int64, the slot of each cell, -1 for none; gives object affinity (Eq. 4).
            count: S.
            affinity_frames: of how many of the last frames it is asked for; None for all of q.
            clamp: affinity is at least zero; else -inf where a slot has no cell.
            with_lse: give the log-sum-exp too.
        """

    def check_heads(self, heads: int) -> None:  # noqa: B027 - most take any number
        """Raise :class:`ConfigError` if so many heads cannot be had."""

    @abstractmethod
    def pairs(self, size: tuple[int, int, int], *, causal: bool = False, query_frames: int | None = None) -> float:
        """Exact number of (query, key) pairs on a grid (T, h, w), of one head."""


def whole_number(part: nn.Module, name: str, value: int) -> int:
    """An option that must be a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{type(part).__name__}.{name} must be a whole number of at least 1, got {value!r}")
    return value
