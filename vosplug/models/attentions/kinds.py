"""Grid, local, strided and dense attention (SST, section 3)."""

from abc import abstractmethod

from torch import Tensor

from ...registry import ATTENTIONS
from .base import Attended, SpacetimeAttention, whole_number


def count_pairs(pattern: str, size: tuple[int, int, int], params: tuple[int, ...], causal: bool,
                query_frames: int | None) -> int:
    """Pairs of a pattern of the operator; loaded where it is needed."""
    from ...ops.sparse_attention.patterns import count_pairs as count

    return count(pattern, size, params, causal, query_frames)


class PatternAttention(SpacetimeAttention):
    """Attention over a pattern of the operator ``vosplug.ops.sparse_attention``."""

    pattern: str

    @abstractmethod
    def params(self, frames: int) -> tuple[int, ...]:
        """Options of the pattern for T frames: by frames, rows, columns."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, heads: int = 1, scale: float = 1.0, causal: bool = False,
                query_frames: int | None = None, slots: Tensor | None = None, count: int = 0,
                affinity_frames: int | None = None, clamp: bool = True, with_lse: bool = False) -> Attended:
        """See :class:`~.base.SpacetimeAttention`."""
        from ... import ops

        call = {"grid": ops.grid_attention, "local": ops.local_attention, "strided": ops.strided_attention}
        params = self.params(k.shape[2])
        result = call[self.pattern](
            q, k, v, *([params] if params else []), heads=heads, scale=scale, causal=causal, query_frames=query_frames,
            labels=slots, num_objects=0 if slots is None else count, affinity_frames=affinity_frames, clamp=clamp,
            with_lse=with_lse)
        out, *rest = result if isinstance(result, tuple) else (result,)
        return Attended(out, None if slots is None else rest[0], rest[-1] if with_lse else None)

    def pairs(self, size: tuple[int, int, int], *, causal: bool = False, query_frames: int | None = None) -> int:
        """See :class:`~.base.SpacetimeAttention`."""
        return count_pairs(self.pattern, tuple(size), self.params(size[0]), causal, query_frames)


@ATTENTIONS.register_module(examples=[dict()])
class GridAttention(PatternAttention):
    """A cell sees its row and its column, and its own place in all frames: T + h + w - 2 cells."""

    pattern = "grid"

    def params(self, frames: int) -> tuple[int, ...]:
        return ()


@ATTENTIONS.register_module(examples=[dict(h=1), dict(h=3)])
class LocalAttention(PatternAttention):
    """A cell sees what is less than ``h`` cells away, in all frames.

    Args:
        h: side of the window is 2 h - 1.
    """

    pattern = "local"

    def __init__(self, h: int = 8):
        super().__init__()
        self.h = whole_number(self, "h", h)

    def params(self, frames: int) -> tuple[int, ...]:
        return max(0, frames - 1), self.h - 1, self.h - 1


@ATTENTIONS.register_module(examples=[dict(h=2)])
class StridedAttention(PatternAttention):
    """A cell sees what steps of ``h`` cells along rows and columns lead to, in all frames.

    Args:
        h: length of a step. With local attention of the same h it reaches every cell in two layers.
    """

    pattern = "strided"

    def __init__(self, h: int = 8):
        super().__init__()
        self.h = whole_number(self, "h", h)

    def params(self, frames: int) -> tuple[int, ...]:
        return 1, self.h, self.h


@ATTENTIONS.register_module(examples=[dict()])
class DenseAttention(StridedAttention):
    """A cell sees all cells of all frames (naive attention)."""

    def __init__(self):
        super().__init__(h=1)
