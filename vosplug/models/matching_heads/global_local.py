"""Matching of CFBI: to all cells of the reference frames, and to cells of the previous frame that are near."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MATCHING_HEADS
from ...utils.errors import ConfigError
from ..layers.aggregate import full_precision
from ..layers.halving import halved, halved_labels
from .nearest import nearest, nearest_around, squared_distance
from .slot_values import best_of_others, slot_masks

Cells = tuple[Tensor, Tensor]  # embeddings (B, C, N) and the slot of each cell (B, N), -1 for none


@MATCHING_HEADS.register_module(role="slots", examples=[
    dict(windows=(3, 1)), dict(windows=(2,), downsample=1, background=False),
    dict(windows=(3, 1), global_stride=2, max_elements=50)])
class GlobalLocalMatching(nn.Module):
    """Distance of every cell to the nearest cell of each slot (Yang et al., CFBI, ECCV 2020, section 3.2).

    Values are 2 (sigmoid(d + b) - 1/2) of the squared distance d, 1 where there is no such cell; b is learnt, one for
    the background and one for objects. Each value has a background version: its minimum over the other slots.

    Only the search is done for all pairs, without gradients and in blocks; the distance to what was found is computed
    anew, so that no map of distances is kept for the backward pass.

    Args:
        windows: radii of the windows of local matching, at the size that it works at.
        downsample: local matching works at this stride of the embedding, 1 or 2.
        background: give background versions too.
        global_stride: of rows and columns of reference frames that take part in global matching.
        max_elements: distances that exist at a time in global matching.

    Attributes:
        out_channels: of the matched values of each slot.
    """

    def __init__(self, windows: Sequence[int] = (12, 2, 4, 6, 8, 10), downsample: int = 2, background: bool = True,
                 global_stride: int = 1, max_elements: int = 1 << 22):
        super().__init__()
        if not windows or any(radius < 1 for radius in windows):
            raise ConfigError(f"GlobalLocalMatching.windows must be radii of at least 1, got {windows}")
        if downsample not in (1, 2):
            raise ConfigError(f"GlobalLocalMatching.downsample must be 1 or 2, got {downsample}")
        for name, value in (("global_stride", global_stride), ("max_elements", max_elements)):
            if value < 1:
                raise ConfigError(f"GlobalLocalMatching.{name} must be at least 1, got {value}")
        self.windows, self.downsample, self.background = tuple(windows), downsample, background
        self.global_stride, self.max_elements = global_stride, max_elements
        self.background_bias = nn.Parameter(torch.zeros(1))
        self.object_bias = nn.Parameter(torch.zeros(1))
        values = 1 + len(self.windows)
        self.out_channels = values * (2 if background else 1) + 1

    def forward(self, embedding: Tensor, references: Sequence[Cells], previous: Tensor, previous_slots: Tensor,
                count: int) -> Tensor:
        """Match the current frame.

        Args:
            embedding: (B, C, h, w) of the current frame.
            references: of every reference frame, whose cells lie on the same grid.
            previous: (B, C, h, w) of the previous frame.
            previous_slots: (B, h, w) int64, the slot of each of its cells; -1 for none.
            count: S, slot 0 is the background.

        Returns:
            (B, S, M, h, w): global value, one per window, previous mask, and background versions of the windows and of
            the global value.
        """
        device = embedding.device.type
        with torch.autocast(device, enabled=False):
            embedding, previous = full_precision(embedding), full_precision(previous)
            total = self.match_references(embedding, references, count)
            local = self.match_around(embedding, previous, previous_slots, count)
            parts = [total, local, slot_masks(previous_slots, count)[:, :, None].to(total)]
            if self.background:
                parts += [best_of_others(x, largest=False) for x in (local, total)]
            return torch.cat(parts, dim=2)

    def value(self, distance: Tensor, slot: int) -> Tensor:
        """2 (sigmoid(d + b) - 1/2)."""
        return 2 * torch.sigmoid(distance + (self.object_bias if slot else self.background_bias)) - 1

    def match_references(self, embedding: Tensor, references: Sequence[Cells], count: int) -> Tensor:
        """(B, C, h, w) -> (B, S, 1, h, w)."""
        grid = tuple(embedding.shape[-2:])
        return torch.stack([self.match_cells(own.flatten(1).t().contiguous(),
                                             *self.cells_of(references, video, grid), count)
                            for video, own in enumerate(embedding)]).unflatten(3, grid)

    def cells_of(self, references: Sequence[Cells], video: int, grid: tuple[int, int]) -> Cells:
        """Embeddings (N, C) of the cells of one video that take part, and their slots (N,)."""
        step = self.global_stride
        maps = [(x[video].t().unflatten(0, grid)[::step, ::step].flatten(0, 1),
                 slots[video].unflatten(0, grid)[::step, ::step].flatten()) for x, slots in references]
        keys, slots = (torch.cat(parts) for parts in zip(*maps, strict=True))
        return full_precision(keys), slots

    def match_cells(self, query: Tensor, keys: Tensor, slots: Tensor, count: int) -> Tensor:
        """(L, C), (N, C), (N,) -> (S, 1, L)."""
        values = []
        for slot in range(count):
            own = (slots == slot).nonzero().flatten()
            if len(own):
                cells = own[nearest(query, keys.index_select(0, own), self.max_elements)]
                values.append(self.value(squared_distance(query, keys, cells), slot))
            else:
                values.append(query.new_ones(len(query)))
        return torch.stack(values)[:, None]

    def match_around(self, embedding: Tensor, previous: Tensor, slots: Tensor, count: int) -> Tensor:
        """(B, C, h, w), (B, C, h, w), (B, h, w) -> (B, S, windows, h, w)."""
        size = tuple(embedding.shape[-2:])
        if self.downsample == 2:
            embedding, previous, slots = halved(embedding), halved(previous), halved_labels(slots)
        x = torch.stack([self.match_windows(*maps, count) for maps in zip(
            embedding.permute(0, 2, 3, 1).contiguous(), previous.permute(0, 2, 3, 1).contiguous(), slots, strict=True)])
        if tuple(x.shape[-2:]) == size:
            return x
        x = F.interpolate(x.flatten(0, 1), size=size, mode="bilinear", align_corners=True)
        return x.unflatten(0, (-1, count))

    def match_windows(self, query: Tensor, keys: Tensor, slots: Tensor, count: int) -> Tensor:
        """(h, w, C), (h, w, C), (h, w) -> (S, windows, h, w)."""
        found = nearest_around(query, keys, slots, count, self.windows)
        cells, keys = query.flatten(0, 1), keys.flatten(0, 1)
        values = []
        for slot, windows in enumerate(found.flatten(2)):
            for index in windows:
                value = self.value(squared_distance(cells, keys, index.clamp(min=0)), slot)
                values.append(torch.where(index >= 0, value, 1.0))
        return torch.stack(values).view(found.shape)
