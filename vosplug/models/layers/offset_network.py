"""Offsets of deformable attention, from queries (deformable DeAOT, section 3.2.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError, InputError, did_you_mean
from .aggregate import full_precision

NORMS = ("LN",)


@LAYERS.register_module(role="offsets", examples=[
    dict(), dict(groups=2, grid_factor=3, kernel=3, norm="LN", max_offset=1.5), dict(groups=1, grid_factor=1)])
class OffsetNetwork(nn.Module):
    """Two convolutions with GELU between them, shared by the groups of the query: where their points are to go.

    The first is depthwise and has a stride of ``grid_factor``, so that the offsets come on the grid of the reference
    points; the second, 1x1 and without bias, starts at zero: the points start where they are.

    Args:
        channels: of the query.
        groups: S, parts of the query's channels, each of which moves its points its own way.
        grid_factor: g, cells between two reference points on each axis.
        kernel: of the first convolution, odd.
        norm: "LN": LayerNorm over the channels of a group before GELU, as the ancestor has it (Xia et al., DAT); or
            None.
        max_offset: bound of each component in cells, kept by tanh; None for no bound; 0 keeps all points in place.
    """

    starts_anew = True  # put into a trained model, it moves nothing until it is trained

    def __init__(self, channels: int, groups: int = 4, grid_factor: int = 2, kernel: int = 5, norm: str | None = None,
                 max_offset: float | None = None):
        super().__init__()
        check_grid(self, channels, groups, grid_factor)
        if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
            raise ConfigError(f"OffsetNetwork.kernel must be an odd whole number, got {kernel!r}")
        if norm is not None and norm not in NORMS:
            raise ConfigError(f"OffsetNetwork.norm must be 'LN' or None, got {norm!r}.{did_you_mean(str(norm), NORMS)}")
        if max_offset is not None and not max_offset >= 0:
            raise ConfigError(f"OffsetNetwork.max_offset must be a number of cells of at least 0 or None, "
                              f"got {max_offset!r}")
        self.groups, self.grid_factor, self.max_offset = groups, grid_factor, max_offset
        width = channels // groups
        self.spread = nn.Conv2d(width, width, kernel, stride=grid_factor, padding=kernel // 2, groups=width)
        self.norm = nn.Identity() if norm is None else nn.LayerNorm(width)
        self.point = nn.Conv2d(width, 2, 1, bias=False)
        nn.init.zeros_(self.point.weight)

    def forward(self, query: Tensor) -> Tensor:
        """Query (R, C, h, w) -> offsets (R, S, 2, ceil(h/g), ceil(w/g)) in cells, vertical ones first, in float32."""
        with torch.autocast(query.device.type, enabled=False):  # half a cell matters where a map has hundreds
            x = query.to(self.point.weight.dtype).unflatten(1, (self.groups, -1)).flatten(0, 1)
            x = self.norm(self.spread(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            offsets = full_precision(self.point(F.gelu(x)))
            if self.max_offset is not None:
                offsets = self.max_offset * offsets.tanh()
        return offsets.unflatten(0, (-1, self.groups))


def check_grid(part: nn.Module, channels: int, groups: int, grid_factor: int) -> None:
    """Raise :class:`ConfigError` for numbers that are no grid and no groups of ``channels``."""
    for name, value in (("groups", groups), ("grid_factor", grid_factor)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{type(part).__name__}.{name} must be a whole number of at least 1, got {value!r}")
    if channels % groups:
        divisors = [n for n in range(1, min(channels, 64) + 1) if channels % n == 0]
        raise ConfigError(f"{type(part).__name__}.groups must divide the {channels} channels of the query, got "
                          f"{groups}; up to 64 there are {', '.join(map(str, divisors))}")


def grid_over(size: tuple[int, int], grid_factor: int) -> tuple[int, int]:
    """(ceil(h/g), ceil(w/g)) reference points over a map of (h, w) cells.

    Raises:
        InputError: the factor is larger than the map.
    """
    if grid_factor > min(size):
        raise InputError(f"grid_factor {grid_factor} is larger than the map of {size[0]}x{size[1]} cells: choose at "
                         f"most {min(size)}, or larger frames")
    return -(-size[0] // grid_factor), -(-size[1] // grid_factor)
