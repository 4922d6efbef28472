"""Attention to the reference points around each query: the window of short-term propagation, over a coarser grid."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .grid import kept, reference_axis

Span = tuple[int, int, int, int]  # rows of queries from, to; rows of reference points from, to


def _distances(length: int, count: int, other: int) -> Tensor:
    """(length, count) distances of queries and reference points on an axis, in units of 1 / (2 H_g W_g) cell."""
    points = (2 * torch.arange(count) + 1) * length - count
    return (torch.arange(length)[:, None] * 2 * count - points).abs() * other


def _visible(size: tuple[int, int], grid: tuple[int, int], radius: int) -> Tensor:
    """(H, W, H_g, W_g) bool: reference points at most ``radius`` cells away on both axes; at least the nearest."""
    # Whole numbers, so that equal distances compare equal.
    rows, columns = (_distances(*axis) for axis in zip(size, grid, reversed(grid), strict=True))
    both = torch.maximum(rows[:, None, :, None], columns[None, :, None, :])
    return (both <= radius * 2 * grid[0] * grid[1]) | (both == both.amin((-2, -1), keepdim=True))


@kept
def _mask(size: tuple[int, int], grid: tuple[int, int], radius: int, device: torch.device) -> Tensor:
    """(H, W, H_g, W_g) float32: 0 where a query sees the reference point, else minus infinity."""
    visible = _visible(size, grid, radius)
    return torch.zeros(visible.shape).masked_fill_(~visible, float("-inf")).to(device)


@kept
def _spans(size: tuple[int, int], grid: tuple[int, int], radius: int, step: int) -> tuple[Span, ...]:
    """Blocks of ``step`` rows of queries, with the rows of reference points that some of them see."""
    seen = _visible(size, grid, radius).any(3).any(1)
    spans = []
    for first in range(0, size[0], step):
        last = min(size[0], first + step)
        rows = seen[first:last].any(0).nonzero().flatten()
        spans.append((first, last, int(rows[0]), int(rows[-1]) + 1))
    return tuple(spans)


@kept
def _tents(length: int, count: int, radius: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length, count, 2r+1) weights that interpolate by the displacement from a query to a reference point."""
    points = reference_axis(length, count, None, torch.float64)
    away = (points - torch.arange(length)[:, None]).clamp(-radius, radius)
    tents = (1 - (away[..., None] - torch.arange(-radius, radius + 1)).abs()).clamp(min=0)
    return tents.to(device, dtype)


def interpolated_bias(bias: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Logits by displacement (..., H*W, (2r+1)^2) -> by reference point (..., H, W, H_g, W_g).

    A query's map of (2r+1)x(2r+1) logits, rows first, is read at the displacement from the query to each reference
    point, bilinearly; a point further away than r reads the border.
    """
    side = round(bias.shape[-1] ** 0.5)
    if side * side != bias.shape[-1] or side % 2 == 0:
        raise ValueError(f"bias: expected (2r+1)^2 logits of each query, got {bias.shape[-1]}")
    rows, columns = (_tents(length, count, side // 2, bias.device, bias.dtype)
                     for length, count in zip(size, grid, strict=True))
    maps = bias.unflatten(-1, (side, side)).unflatten(-3, size)
    across = torch.einsum("...yxab,xjb->...yxaj", maps, columns)
    return torch.einsum("...yxaj,yia->...yxij", across, rows).contiguous()


def window_of_points(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    size: tuple[int, int],
    grid: tuple[int, int],
    radius: int,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Softmax attention of every cell to the keys whose reference points are at most ``radius`` cells away.

    A key belongs to its reference point, wherever it was sampled. A few rows of queries at a time look at the rows of
    reference points that they reach: no map of all pairs exists but that of the logits. Scores are made in float32 at
    least, under autocast too.

    Args:
        q: (B, heads, H*W, D). k, v: (B, heads, H_g*W_g, D) and (B, heads, H_g*W_g, DV).
        size, grid: (H, W) of the queries, (H_g, W_g) of the reference points.
        radius: of the window; the nearest reference point is seen however far it is.
        bias: (B, heads, H*W, (2*radius+1)^2) logits by displacement, see :func:`interpolated_bias`, or None.
        scale: factor of the scores, default 1/sqrt(D).

    Returns:
        (B, heads, H*W, DV).
    """
    width, columns = size[1], grid[1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast(q.device.type, enabled=False):
        q, k = (x if x.dtype == torch.float64 else x.float() for x in (q * scale, k))
        mask = _mask(size, grid, radius, q.device).to(q.dtype)
        if bias is not None:
            mask = mask + interpolated_bias(bias.to(q.dtype), size, grid)
        step = -(-size[0] // grid[0]) if q.device.type == "cpu" else size[0]
        parts = []
        for first, last, top, bottom in _spans(size, grid, radius, step):
            near = slice(top * columns, bottom * columns)
            scores = q[..., first * width : last * width, :] @ k[..., near, :].transpose(-1, -2)
            added = mask[..., first:last, :, top:bottom, :].flatten(-2).flatten(-3, -2)
            weights = F.softmax(scores + added, dim=-1)
            parts.append(weights.to(v.dtype) @ v[..., near, :])
    return torch.cat(parts, dim=-2)
