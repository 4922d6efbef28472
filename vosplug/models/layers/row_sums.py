"""Sums of rows of a table, by number."""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula


def sum_rows(table: Tensor, rows: Tensor, weights: Tensor | None = None, starts: Tensor | None = None) -> Tensor:
    """Sums of rows of ``table`` (N, C), (M, C).

    Args:
        table: (N, C).
        rows: numbers of rows, (M, K) or, with ``starts``, (total,).
        weights: of the rows, like ``rows``; None for a plain sum.
        starts: (M,) where in ``rows`` each sum begins.
    """
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)


def row_sum_flops(table: torch.Size, rows: torch.Size, starts: torch.Size, scaled: bool = False, mode: int = 0,
                  sparse: bool = False, weights: torch.Size | None = None, *args, out_shape=None, **kwargs) -> int:
    """FLOPs of :func:`sum_rows`: an addition, and with weights a multiplication, for each row and channel."""
    return (1 if weights is None else 2) * prod(rows) * table[1]


for operator in (torch.ops.aten._embedding_bag, torch.ops.aten._embedding_bag_forward_only):
    if operator not in flop_registry:  # torch counts none of it
        register_flop_formula(operator)(row_sum_flops)
