"""Which cells hear of one cell through layers of attention."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import SpacetimeAttention


@torch.no_grad()
def reached(attentions: Sequence[SpacetimeAttention], size: tuple[int, int, int], cell: tuple[int, int, int],
            causal: bool = False) -> Tensor:
    """By which layer the cells of (T, h, w) hear of ``cell`` (frame, row, column): (T, h, w) int64, 0 for never.

    Every layer hands on a mark by attention to all that is seen alike (SST, Fig. 1); the cell itself counts as layer 1.
    """
    mark = torch.zeros(1, 1, *size)
    mark[(0, 0, *cell)] = 1
    alike, first = torch.zeros_like(mark), torch.zeros(size, dtype=torch.long)
    for number, attention in enumerate(attentions, start=1):
        mark = (attention(alike, alike, mark, causal=causal).out > 0).float()
        first[(mark[0, 0] > 0) & (first == 0)] = number
    return first
