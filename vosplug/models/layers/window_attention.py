"""Attention to a window around each cell, as short-term propagation needs it (AOT, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.errors import ConfigError
from .attention import scores_of


def window_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor,
                     offset_values: Tensor | None = None) -> Tensor:
    """Softmax attention of every cell to the cells at most r rows and columns away; cells off the map do not count.

    The queries of one row of the map look at the 2r + 1 rows around it: what a window holds beyond its columns is
    computed and masked, but no map of all pairs and no unfolded keys are ever made. Any size works, also maps that are
    smaller than the window.

    Args:
        query, key: (R, heads, h, w, D).
        value: (R, heads, h, w, Dv).
        bias: (R, heads, h, w, (2r+1)^2) logits by offset, rows first, from (-r, -r) to (r, r).
        offset_values: (heads, Dv, (2r+1)^2) vectors that are read beside the values, by offset.

    Returns:
        (R, heads, h, w, Dv).
    """
    height, width = query.shape[2:4]
    radius = radius_of(bias.shape[-1])
    bias = bias.unflatten(-1, (2 * radius + 1, 2 * radius + 1))
    lines = []
    for y in range(height):
        first, last = max(0, y - radius), min(height, y + radius + 1)
        offsets = slice(first - y + radius, last - y + radius)
        near_keys, near_values = (x[:, :, first:last].flatten(2, 3) for x in (key, value))
        scores = scores_of(query[:, :, y], near_keys).unflatten(-1, (last - first, width))
        scores = scores + by_column(bias[:, :, y, :, offsets].to(scores.dtype), width)
        weights = scores.flatten(-2).softmax(dim=-1).to(value.dtype)
        line = weights @ near_values
        if offset_values is not None:
            by_place = by_offset(weights.unflatten(-1, (last - first, width)), radius)
            vectors = offset_values.unflatten(-1, (2 * radius + 1, 2 * radius + 1))[..., offsets, :].flatten(-2)
            line = line + by_place.flatten(-2) @ vectors.transpose(-1, -2).to(by_place.dtype)
        lines.append(line)
    return torch.stack(lines, dim=2)


def radius_of(places: int) -> int:
    """r of a window of (2r+1)^2 places."""
    side = round(places**0.5)
    if side * side != places or side % 2 == 0:
        raise ConfigError(f"a window has (2r+1)^2 places, got {places}")
    return side // 2


def by_column(bias: Tensor, width: int) -> Tensor:
    """Logits by offset (..., w, n, 2r+1) -> by column (..., w, n, w); columns outside the window get the least value.

    Column x' of query x is offset x' - x + r. With rows padded to w + 2r + 1 and read at a step of w + 2r, every
    query's offsets move one column on from the query before: no gather is needed.
    """
    lead, rows, side = bias.shape[:-3], bias.shape[-2], bias.shape[-1]
    radius = side // 2
    x = F.pad(bias.transpose(-3, -2), (0, width), value=torch.finfo(bias.dtype).min)  # (..., n, w, w + 2r + 1)
    x = x.flatten(-2)[..., : width * (width + 2 * radius)]
    x = x.reshape(*lead, rows, width, width + 2 * radius)[..., radius : radius + width]
    return x.transpose(-3, -2)


def by_offset(weights: Tensor, radius: int) -> Tensor:
    """The inverse of :func:`by_column`: (..., w, n, w) -> (..., w, n, 2r+1), zeros for places off the map."""
    lead, width, rows = weights.shape[:-3], weights.shape[-1], weights.shape[-2]
    x = F.pad(weights.transpose(-3, -2), (radius, radius)).flatten(-2)
    x = F.pad(x, (0, width)).reshape(*lead, rows, width, width + 2 * radius + 1)[..., : 2 * radius + 1]
    return x.transpose(-3, -2)
