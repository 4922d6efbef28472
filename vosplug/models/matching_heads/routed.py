"""Values that are handed on from cell to cell, along routes of sparse attention."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import ATTENTIONS, MATCHING_HEADS
from ...structures import Rows
from ...utils.errors import ConfigError, InputError, did_you_mean
from ..memories import MemoryEntry, MemoryState
from .affinity import groups_of_objects, precise
from .base import MatchingHead

SIMILARITIES = ("l2", "dot")
LEAST = 1e-30  # mass below which a route is none; its inverse, and the gradients of a mean, stay finite in float32


@MATCHING_HEADS.register_module(examples=[
    dict(), dict(similarity="dot", attentions=[dict(type="LocalAttention", h=2), dict(type="StridedAttention", h=2)])])
class RoutedMatching(MatchingHead):
    """The last frames' values reach the current frame over several layers of sparse attention (SST, section 7).

    Queries and keys of all layers are the keys of the memory and of the current frame; a layer hands on values. At the
    start memory has its values and a mass of 1, the current frame has neither. The read-out is value over mass: a mean
    of values of the memory, over all routes that lead there, and zero where none does. With grid attention any two
    cells are three layers apart, along a row, a column and a line in time, in any order (Eq. 7, 10).

    Args:
        attentions: configs (kind ``attention``), one per layer; None: three of grid attention.
        similarity: scores of keys: ``l2``, the negative squared distance as STCN compares them, or ``dot``; both over
            the root of their channels.
    """

    def __init__(self, attentions: Sequence[dict] | None = None, similarity: str = "l2"):
        super().__init__()
        attentions = [dict(type="GridAttention")] * 3 if attentions is None else attentions
        if not attentions:
            raise ConfigError("RoutedMatching.attentions is empty: give one attention per layer")
        if similarity not in SIMILARITIES:
            raise ConfigError(f"RoutedMatching.similarity must be one of {', '.join(SIMILARITIES)}, got {similarity!r}."
                              f"{did_you_mean(str(similarity), SIMILARITIES)}")
        self.layers = nn.ModuleList(ATTENTIONS.build(attention) for attention in attentions)
        for layer in self.layers:
            layer.check_heads(1)
        self.similarity = similarity

    def forward(self, query: Tensor, memory: MemoryState, rows: Rows, frame: int, **beside: Tensor | None) -> Tensor:
        """See :meth:`~.base.MatchingHead.forward`.

        Raises:
            InputError: an entry of the memory does not lie on the grid of the frame.
        """
        entries, grid = list(memory), tuple(query.shape[-2:])
        self.check_grids(entries, grid)
        out = entries[0]["value"].new_zeros(len(rows), entries[0]["value"].shape[2], *grid)
        for members, used in groups_of_objects(entries, rows):
            out = out.index_copy(0, members, self.read(query, used, members, rows).to(out.dtype))
        return out

    @staticmethod
    def check_grids(entries: Sequence[MemoryEntry], grid: tuple[int, int]) -> None:
        """Raise :class:`InputError` for an entry that has no place in the row of frames."""
        for entry in entries:
            if entry.grid != grid:
                has = "tokens without a grid" if entry.grid is None else f"a grid of {entry.grid[0]}x{entry.grid[1]}"
                raise InputError(f"RoutedMatching needs frames of one size, but frame {entry.frame} of the memory has "
                                 f"{has} where the current frame has {grid[0]}x{grid[1]} cells")

    def read(self, query: Tensor, entries: Sequence[MemoryEntry], members: Tensor, rows: Rows) -> Tensor:
        """Read ``entries`` (B, C, h, w) for the M rows numbered ``members``: (M, Cv, h, w)."""
        grid = tuple(query.shape[-2:])
        batch, slots = rows.batch[members], rows.slot[members]
        wanted, place = slots.unique(return_inverse=True)
        keys = torch.stack([*(precise(entry["key"]).unflatten(2, grid) for entry in entries), precise(query)], dim=2)
        values = torch.stack([entry["value"][:, wanted].to(keys.dtype).unflatten(3, grid) for entry in entries], dim=3)
        mass = values.new_ones(len(values), 1, *values.shape[3:])
        handed = torch.cat([values.flatten(1, 2), mass], dim=1)
        handed = torch.cat([handed, torch.zeros_like(handed[:, :, :1])], dim=2)
        with torch.autocast(query.device.type, enabled=False):
            handed = self.hand_on(keys, handed)[:, :, 0]
        values, mass = handed[:, :-1].unflatten(1, (len(wanted), -1)), handed[:, -1:, None]
        reached = mass > LEAST
        mean = torch.where(reached, values / torch.where(reached, mass, 1.0), 0.0)
        return mean[batch, place]

    def hand_on(self, keys: Tensor, values: Tensor) -> Tensor:
        """All layers over T frames (B, C, T, h, w), (B, V, T, h, w): what reaches the last one, (B, V, 1, h, w)."""
        q, k, scale = keys, keys, keys.shape[1] ** -0.5
        if self.similarity == "l2":  # 2 q k - |k|^2 is a product of vectors of one channel more
            q = torch.cat([2 * keys, torch.ones_like(keys[:, :1])], dim=1)
            k = torch.cat([keys, -keys.square().sum(dim=1, keepdim=True)], dim=1)
        for layer in self.layers[:-1]:
            values = layer(q, k, values, scale=scale).out
        return self.layers[-1](q[:, :, -1:], k, values, scale=scale, query_frames=1).out
