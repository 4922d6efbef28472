"""A bias of affinities by position."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ..memories import MemoryEntry


@LAYERS.register_module(role="prior", examples=[dict()])
class LocalityPrior(nn.Module):
    """Learnt preference for nearby positions: minus lambda times the squared distance in cells.

    One lambda serves the previous frame, where objects have moved little, another all older frames. Tokens without
    a position (consolidated ones) get no bias.

    Args:
        previous, older: initial lambdas, positive.
    """

    def __init__(self, previous: float = 0.02, older: float = 0.002):
        super().__init__()
        self.log_previous = nn.Parameter(torch.tensor(math.log(previous)))
        self.log_older = nn.Parameter(torch.tensor(math.log(older)))

    def forward(self, entries: Sequence[MemoryEntry], grid: tuple[int, int], frame: int,
                device: torch.device) -> tuple[Tensor, Tensor]:
        """Return factors (L, 4) and (4, N) whose product is the bias (L, N)."""
        y, x = (c.flatten() for c in torch.meshgrid(*(torch.arange(s, device=device, dtype=torch.float32)
                                                      for s in grid), indexing="ij"))
        square = y * y + x * x
        queries = torch.stack([2 * y, 2 * x, -torch.ones_like(y), -square], dim=1)
        parts = []
        for entry in entries:
            weight = (self.log_previous if entry.frame == frame - 1 else self.log_older).exp()
            place = entry.positions(grid, device)
            parts.append(queries.new_zeros(4, entry.tokens) if place is None else weight * factors(*place))
        return queries, torch.cat(parts, dim=1)


def factors(y: Tensor, x: Tensor) -> Tensor:
    """What is multiplied with a query's factors: (4, N) of tokens at rows and columns (N,)."""
    return torch.stack([y, x, y * y + x * x, torch.ones_like(y)])
