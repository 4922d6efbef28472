"""Reading the few most similar tokens of each query without a matrix of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures import Rows
from ..layers.row_sums import sum_rows
from ..memories import MemoryEntry


@dataclass
class BestAffinities:
    """The affinities of the k most similar tokens of each query; those of all others are zero.

    What is read is then a sum of k rows per query, not a product with a matrix of all tokens. No gradients.

    Attributes:
        weights: (B, L, k), each query's sum is 1.
        places: (B, L, k) int64, numbers of the tokens.
    """

    weights: Tensor
    places: Tensor

    def read(self, entries: Sequence[MemoryEntry], members: Tensor, rows: Rows) -> Tensor:
        """Sum the values of ``entries``, see :meth:`~.affinity.AffinityMatching.read`: (M, Cv, L)."""
        video, slot = (numbers[members].tolist() for numbers in (rows.batch, rows.slot))
        out: list[Tensor | None] = [None] * len(members)
        start = 0
        for entry in entries:
            values = entry.by_token("value")
            for b in set(video):
                near = (self.places[b] >= start) & (self.places[b] < start + entry.tokens)
                tokens, weights = self.places[b][near] - start, self.weights[b][near].to(values.dtype)
                ends = near.sum(dim=1).cumsum(0)
                bags = F.pad(ends[:-1], (1, 0))
                for number in (i for i, v in enumerate(video) if v == b):
                    table = values[b, :, slot[number]]
                    part = sum_rows(table, tokens, weights, bags)
                    out[number] = part if out[number] is None else out[number].add_(part)
            start += entry.tokens
        return torch.stack(out).transpose(1, 2)

    def mass(self, tokens: int) -> Tensor:
        """(B, N) sums over the queries, of all N tokens."""
        total = self.weights.new_zeros(len(self.weights), tokens)
        return total.scatter_add_(1, self.places.flatten(1), self.weights.flatten(1))
