"""Deformable attention in a gated propagation (deformable DeAOT, section 3.2, Eq. 3 to 7)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError, did_you_mean
from .aggregate import full_precision
from .offset_network import OffsetNetwork, check_grid, grid_over
from .propagation import to_map

PLACES = ("long_term", "short_term", "self")
RESAMPLES = ("features", "keys_values")
KeysValues = tuple[list[Tensor], list[Tensor], tuple[int, int]]


@LAYERS.register_module(role="deformable attention", examples=[
    dict(key_channels=8), dict(key_channels=8, groups=2, grid_factor=3, resample="keys_values", norm="LN"),
    dict(key_channels=8, places=("self",), offsets=False)])
class GatedDeformableAttention(nn.Module):
    """Keys and values of a gated attention at points that the query moves, instead of those of every cell.

    It stands in front of the attention of a :class:`~..matching_heads.gated_propagation.GatedPropagationBlock`, whose
    projections (Eq. 5), softmax (Eq. 6) and gate (Eq. 7) stay as they are: with a grid of factor 1 and offsets of zero
    the block computes what it computes without it. Reference points are the centres of a grid; offsets come from the
    current query alone and hold for every memory frame; keys of all frames go through one softmax.

    What is sampled is a map of several streams (visual features, ID features, identities) side by side: group s moves
    the s-th part of the channels of each.

    Args:
        key_channels, channels: of the query, and of a stream; given by the block.
        places: where in the block: the long-term and the short-term memory, and the frame itself.
        grid_factor, groups, kernel, norm, max_offset: see :class:`OffsetNetwork`.
        resample: what of a memory frame is sampled. ``features``: inputs of the projections, which are projected
            afterwards (Eq. 3 and 5); the memory keeps them. ``keys_values``: keys and values, as the memory keeps them
            without deformable attention; less work for each frame, more memory, another function (values are sampled
            after their activation). In the place ``self`` there is no memory, and features are sampled in any case.
        offsets: False leaves every point at its reference point: the control that only has fewer keys.
        relative_bias: the short-term place keeps its window and its logits by displacement, for which a key lies at its
            reference point. False: every query sees all points, and there are no such logits (Eq. 6 as it is written).
    """

    def __init__(self, key_channels: int, channels: int, places: Sequence[str] = PLACES, grid_factor: int = 2,
                 groups: int = 4, resample: str = "features", offsets: bool = True, relative_bias: bool = True,
                 kernel: int = 5, norm: str | None = None, max_offset: float | None = None):
        super().__init__()
        name = type(self).__name__
        if isinstance(places, str) or not places:
            raise ConfigError(f"{name}.places must be a list of {', '.join(PLACES)}, got {places!r}")
        for place in places:
            if place not in PLACES:
                raise ConfigError(f"{name}.places: there is no place {place!r}.{did_you_mean(str(place), PLACES)} "
                                  f"Places: {', '.join(PLACES)}.")
        if resample not in RESAMPLES:
            raise ConfigError(f"{name}.resample must be {' or '.join(map(repr, RESAMPLES))}, got {resample!r}."
                              f"{did_you_mean(str(resample), RESAMPLES)}")
        check_grid(self, key_channels, groups, grid_factor)
        self.places, self.grid_factor, self.groups = tuple(places), grid_factor, groups
        self.channels, self.resample, self.relative_bias = channels, resample, relative_bias
        self.networks = nn.ModuleDict({
            place: OffsetNetwork(key_channels, groups, grid_factor, kernel, norm, max_offset)
            for place in PLACES if place in places and offsets})

    def samples_features(self, place: str) -> bool:
        """Whether a place reads inputs of the projections, not keys and values."""
        return place in self.places and (self.resample == "features" or place == "self")

    def forward(self, place: str, query: Tensor, frames: Sequence[Sequence[Tensor]], size: tuple[int, int],
                project: Callable[[Tensor], tuple[Tensor, Tensor]]) -> KeysValues:
        """Keys and values that a place reads.

        Args:
            place: one of :data:`PLACES`.
            query: (R, L, Ck) of the current frame.
            frames: per frame, inputs of the projections (R, L, n*C) first, or keys and values (R, L, ..) last, or all
                three.
            size: (h, w) of the frame and of those in memory.
            project: inputs (R, N, n*C) -> keys (R, N, Ck) and values (R, N, Cv).

        Returns:
            Keys and values of one or several frames, and the grid (h_g, w_g) of their points.
        """
        if place not in self.places:
            keys, values = zip(*(frame[-2:] for frame in frames), strict=True)
            return list(keys), list(values), size
        offsets = self.offsets(place, query, size)
        grid = tuple(offsets.shape[-2:])
        if not self.samples_features(place):
            keys, values = zip(*((self.sample(key, offsets, size, 1), self.sample(value, offsets, size, 2))
                                 for key, value in (frame[-2:] for frame in frames)), strict=True)
            return list(keys), list(values), grid
        sampled = [self.sample(x, offsets, size, x.shape[-1] // self.channels) for x, *_ in frames]  # Eq. 3
        key, value = project(sampled[0] if len(sampled) == 1 else torch.cat(sampled, dim=1))  # Eq. 5
        return [key], [value], grid

    def offsets(self, place: str, query: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, S, 2, h_g, w_g) in cells, of a query (R, L, Ck)."""
        grid = grid_over(size, self.grid_factor)
        if place in self.networks:
            return self.networks[place](to_map(query, size))
        return full_precision(query.new_zeros(len(query), self.groups, 2, *grid))

    @staticmethod
    def sample(tokens: Tensor, offsets: Tensor, size: tuple[int, int], streams: int) -> Tensor:
        """Tokens (R, L, C) of several streams side by side, at the shifted points: (R, N, C)."""
        from ...ops import deformable_sample  # loaded where it is needed

        moved = deformable_sample(to_map(tokens, size), offsets.repeat(1, streams, 1, 1, 1))
        return moved.flatten(2).transpose(1, 2)
