"""Where a cell of a video lies, as features that are added to its embedding (SST, Eq. 2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError, did_you_mean

AXES = ("t", "y", "x")


class SpacetimePosition(nn.Module):
    """Base: called with frame numbers, size and a tensor whose type counts, gives (T, h, w, C)."""

    def check_axes(self, axes: Sequence[str]) -> tuple[str, ...]:
        """Axes without doubt: some of t, y, x, each at most once."""
        wrong = [axis for axis in axes if axis not in AXES]
        if wrong or not axes or len(set(axes)) < len(axes):
            hint = did_you_mean(wrong[0], AXES) if wrong else ""
            raise ConfigError(f"{type(self).__name__}.axes must be some of {', '.join(AXES)}, got {tuple(axes)}.{hint}")
        return tuple(axes)


@LAYERS.register_module(role="spacetime positions", examples=[dict()])
class NoPosition(SpacetimePosition):
    """Nothing: zero everywhere.

    Args:
        channels: of the output.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, frames: Sequence[int], size: tuple[int, int], like: Tensor) -> Tensor:
        """(T, h, w, C) zeros."""
        return like.new_zeros(len(frames), *size, self.channels)


@LAYERS.register_module(role="spacetime positions", examples=[dict()])
class SinusoidalPosition(SpacetimePosition):
    """Sines and cosines of the frame number, the row and the column (Vaswani et al., 2017), each in its own channels.

    Of d channels of an axis 2 i is sin(p / base^(2 i / d)), and 2 i + 1 the cosine. The axes share the channels in
    nearly equal even parts, the first ones taking more.

    Args:
        channels: of the output, even.
        axes: some of t, y, x.
        base: 10,000 as there; 100 in a public prototype of SST.
    """

    def __init__(self, channels: int, axes: Sequence[str] = AXES, base: float = 10_000.0):
        super().__init__()
        self.axes, self.base = self.check_axes(axes), base
        if channels % 2 or channels < 2 * len(self.axes):
            raise ConfigError(f"SinusoidalPosition needs an even number of channels, at least {2 * len(self.axes)} for "
                              f"{len(self.axes)} axes, got {channels}")
        if not base > 1:
            raise ConfigError(f"SinusoidalPosition.base must be above 1, got {base}")
        share, more = divmod(channels // 2, len(self.axes))
        self.widths = [2 * (share + (number < more)) for number in range(len(self.axes))]

    def forward(self, frames: Sequence[int], size: tuple[int, int], like: Tensor) -> Tensor:
        """(T, h, w, C)."""
        exact = torch.promote_types(like.dtype, torch.float32)
        grid = (len(frames), *size)
        places = {"t": torch.tensor(list(frames), dtype=exact), "y": torch.arange(size[0], dtype=exact),
                  "x": torch.arange(size[1], dtype=exact)}
        parts = []
        for axis, width in zip(self.axes, self.widths, strict=True):
            wave = self.base ** (torch.arange(0, width, 2, dtype=exact) / width)
            angle = places[axis][:, None] / wave
            along = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
            shape = [width if name == "C" else grid[AXES.index(name)] if name == axis else 1 for name in (*AXES, "C")]
            parts.append(along.view(shape).expand(*grid, width))
        return torch.cat(parts, dim=3).to(like)


@LAYERS.register_module(role="spacetime positions", examples=[dict()])
class LearnedPosition(SpacetimePosition):
    """Learnt tables of the frame number, the row and the column, which are added up.

    Tables of rows and columns are interpolated for other sizes; frames after the last one of the table have its entry.

    Args:
        channels: of the output.
        axes: some of t, y, x.
        frames: of the table (300 in public defaults of SST).
        size: (rows, columns) of the tables.
    """

    def __init__(self, channels: int, axes: Sequence[str] = AXES, frames: int = 300, size: Sequence[int] = (59, 59)):
        super().__init__()
        self.axes, self.channels = self.check_axes(axes), channels
        if len(size) != 2 or min(frames, *size) < 1:
            raise ConfigError(f"LearnedPosition needs at least one frame, row and column, got frames={frames}, "
                              f"size={size}")
        lengths = dict(zip(AXES, (frames, *size), strict=True))
        self.tables = nn.ParameterDict({axis: nn.Parameter(0.02 * torch.randn(lengths[axis], channels))
                                        for axis in self.axes})

    def forward(self, frames: Sequence[int], size: tuple[int, int], like: Tensor) -> Tensor:
        """(T, h, w, C)."""
        total = like.new_zeros(len(frames), *size, self.channels)
        for axis, table in self.tables.items():
            if axis == "t":
                number = torch.tensor(list(frames), device=table.device).clamp(max=len(table) - 1)
                total = total + table[number][:, None, None]
            else:
                along = self.stretched(table, size[0 if axis == "y" else 1])
                total = total + (along[:, None] if axis == "y" else along)
        return total.to(like.dtype)

    @staticmethod
    def stretched(table: Tensor, length: int) -> Tensor:
        """(N, C) -> (length, C), linear; the ends keep their places."""
        if length == len(table):
            return table
        return F.interpolate(table.t()[None], size=length, mode="linear", align_corners=True)[0].t()
