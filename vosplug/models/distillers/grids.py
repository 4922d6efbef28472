"""From the cells of one network to those of another that sees the same picture in another size."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures import Geometry


@dataclass(frozen=True)
class Grid:
    """How cells (h, w) lie on a picture.

    Attributes:
        geometry: of the network's frames.
        align_corners: the outermost cells lie on the outermost pixels (sides of n s + 1), or cells are squares.
    """

    geometry: Geometry
    align_corners: bool

    def pixels(self, cells: tuple[int, int]) -> list[Tensor]:
        """Where the centres of the cells lie on the picture, by axis (y, x): indices of pixels, not whole."""
        found = []
        for axis, count in enumerate(cells):
            size, network = self.geometry.size[axis], self.geometry.network[axis]
            place = _scaled(torch.arange(count, dtype=torch.float64), count, network, self.align_corners)
            place = place - self._before(axis)
            found.append(_scaled(place, size, self.geometry.native[axis], self.align_corners))
        return found

    def cells(self, pixels: list[Tensor], cells: tuple[int, int]) -> list[Tensor]:
        """The inverse of :meth:`pixels`: places among the cells (y, x), not whole."""
        found = []
        for axis, (place, count) in enumerate(zip(pixels, cells, strict=True)):
            size, network = self.geometry.size[axis], self.geometry.network[axis]
            place = _scaled(place, self.geometry.native[axis], size, self.align_corners) + self._before(axis)
            found.append(_scaled(place, network, count, self.align_corners))
        return found

    def _before(self, axis: int) -> int:
        left, _, top, _ = self.geometry.pad
        return (top, left)[axis]


def _scaled(place: Tensor, count: int, wanted: int, align_corners: bool) -> Tensor:
    """Places among ``count`` pixels of a side as places among ``wanted`` pixels of the same side."""
    if align_corners:
        return place * ((wanted - 1) / max(1, count - 1))
    return (place + 0.5) * (wanted / count) - 0.5


def on_grid(x: Tensor, there: Grid, here: Grid, cells: tuple[int, int]) -> Tensor:
    """Sample maps of another network where one's own cells lie, bilinearly; what lies outside takes the border.

    Args:
        x: (B, C, h', w') of the network that ``there`` belongs to; -inf everywhere or nowhere in a plane.
        there, here: of the two networks.
        cells: (h, w) wanted.

    Returns:
        (B, C, h, w); ``x`` itself where both have the same cells.
    """
    if tuple(x.shape[-2:]) == tuple(cells) and there == here:
        return x
    places = there.cells(here.pixels(cells), tuple(x.shape[-2:]))
    sides = [2 * place / max(1, count - 1) - 1 for place, count in zip(places, x.shape[-2:], strict=True)]
    grid = torch.stack(torch.meshgrid(sides[1], sides[0], indexing="xy"), dim=-1).to(x)
    absent = x.isneginf()
    sampled = F.grid_sample(x.masked_fill(absent, 0), grid.expand(len(x), -1, -1, -1), mode="bilinear",
                            padding_mode="border", align_corners=True)
    return sampled.masked_fill(absent.flatten(2).all(dim=2)[:, :, None, None], float("-inf"))
