"""Attention to a window around each cell, as short-term propagation needs it (AOT, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.errors import ConfigError
from .attention import scores_of

TILE = (8, 9)  # rows and columns of queries that are computed together


def window_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor,
                     offset_values: Tensor | None = None) -> Tensor:
    """Softmax attention of every cell to the cells at most r rows and columns away; cells off the map do not count.

    The queries of one tile of the map look at all cells that any of them sees: what lies outside a query's own window
    is computed and masked, but no map of all pairs and no unfolded keys are ever made. Any size works, also maps that
    are smaller than the window.

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
    strips = []
    for columns in spans(width, TILE[1]):
        near_columns = seen(columns, radius, width)
        near = [x[:, :, :, slice(*near_columns)].contiguous() for x in (key, value)]
        tiles = []
        for rows in spans(height, TILE[0]):
            near_rows = seen(rows, radius, height)
            tile_query, tile_bias = (x[:, :, slice(*rows), slice(*columns)].flatten(2, 3) for x in (query, bias))
            tile_bias = F.pad(tile_bias, (0, 1), value=torch.finfo(bias.dtype).min)
            tile_key, tile_value = (x[:, :, slice(*near_rows)].flatten(2, 3) for x in near)
            offsets = offsets_between((rows, columns), (near_rows, near_columns), radius, query.device)
            offsets = offsets.expand(*tile_bias.shape[:2], -1, -1)
            scores = scores_of(tile_query, tile_key)
            scores = scores + tile_bias.gather(-1, offsets).to(scores.dtype)
            weights = scores.softmax(dim=-1).to(value.dtype)
            tile = weights @ tile_value
            if offset_values is not None:
                by_offset = torch.zeros_like(tile_bias, dtype=weights.dtype).scatter(-1, offsets, weights)[..., :-1]
                tile = tile + by_offset @ offset_values.transpose(-1, -2).to(weights.dtype)
            tiles.append(tile.unflatten(2, (rows[1] - rows[0], columns[1] - columns[0])))
        strips.append(torch.cat(tiles, dim=2))
    return torch.cat(strips, dim=3)


def radius_of(places: int) -> int:
    """r of a window of (2r+1)^2 places."""
    side = round(places**0.5)
    if side * side != places or side % 2 == 0:
        raise ConfigError(f"a window has (2r+1)^2 places, got {places}")
    return side // 2


def spans(length: int, most: int) -> list[tuple[int, int]]:
    """0 .. ``length`` in parts of about one size, at most ``most`` long: where each begins and ends."""
    parts = -(-length // most)
    edges = [length * part // parts for part in range(parts + 1)]
    return list(zip(edges, edges[1:], strict=False))


def seen(span: tuple[int, int], radius: int, length: int) -> tuple[int, int]:
    """The part of 0 .. ``length`` that cells of ``span`` see."""
    return max(0, span[0] - radius), min(length, span[1] + radius)


def offsets_between(queries: tuple, keys: tuple, radius: int, device: torch.device) -> Tensor:
    """Which place of a query's window every key is at.

    Args:
        queries, keys: spans of rows and of columns.
        radius: of the window; its (2r+1)^2 places are counted row by row.
        device: of the result.

    Returns:
        (queries, keys) int64, (2r+1)^2 for keys that lie outside.
    """
    side = 2 * radius + 1
    rows, columns = (torch.arange(*there, device=device) - torch.arange(*here, device=device)[:, None] + radius
                     for here, there in zip(queries, keys, strict=True))
    (rows, columns), outside = (rows[:, None, :, None], columns[None, :, None, :]), side**2
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    return torch.where(inside, rows * side + columns, outside).flatten(2).flatten(0, 1)
