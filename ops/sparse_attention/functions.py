"""Public functions: grid, local and strided attention (SST, section 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks
from .op import sparse_attention

_Result = Tensor | tuple[Tensor, ...]


def grid_attention(
    q: Tensor, k: Tensor, v: Tensor, *,
    heads: int = 1, scale: float = 1.0, causal: bool = False, query_frames: int | None = None,
    labels: Tensor | None = None, num_objects: int = 0, affinity_frames: int | None = None, clamp: bool = True,
    with_lse: bool = False,
) -> _Result:  # fmt: skip
    """Attention of every cell to the T+H+W-2 cells that share two of its coordinates, itself once (SST, Eq. 6).

    Args:
        q, k: (B, heads*D, T, H, W); channels_last_3d is fastest. v: (B, heads*DV, T, H, W). Any float dtype; 16-bit
            types are computed in float32.
        heads: heads, each with its slice of the channels.
        scale: factor of the scores. 1 as in the paper, which found the usual 1/sqrt(D) harmful.
        causal: cells see no later frame.
        query_frames: n: q has n frames, the last of T; only these ask, and what they see is as for all.
        labels: (B, T, H, W) whole numbers: the object of a cell, 0 to ``num_objects`` - 1; others belong to none.
        num_objects: O.
        affinity_frames: of how many of the last frames the affinity is asked for; None for all of q.
        clamp: as Eq. 4; without, the largest score may be negative, and is -inf where the object has no such cell.
        with_lse: also give the logarithm of the sum of exp(score) over the visible cells.

    Returns:
        (B, heads*DV, n, H, W); with ``labels`` also the object affinity (B, heads, O, n, H, W) of Eq. 4: the largest
        score among the visible cells of earlier frames that belong to the object, and zero if there is none or all
        are negative; with ``with_lse`` (B, heads, n, H, W). The latter two are float32 for 16-bit types. All are
        differentiable in q, k and v. No map of scores is stored, forward or backward.

    Raises:
        ValueError: an argument has the wrong type, shape, dtype or device.
    """
    options = (heads, scale, causal, query_frames, labels, num_objects, affinity_frames, clamp, with_lse)
    return _attention(q, k, v, "grid", [], *options)


def local_attention(
    q: Tensor, k: Tensor, v: Tensor, radius: int | Sequence[int], *,
    heads: int = 1, scale: float = 1.0, causal: bool = False, query_frames: int | None = None,
    labels: Tensor | None = None, num_objects: int = 0, affinity_frames: int | None = None, clamp: bool = True,
    with_lse: bool = False,
) -> _Result:  # fmt: skip
    """Attention within a box: at most ``radius`` (one number, or frames, rows, columns) away on every axis.

    The cube of side length h in the paper's strided attention is ``radius = h - 1``. The rest as in
    :func:`grid_attention`.
    """
    options = (heads, scale, causal, query_frames, labels, num_objects, affinity_frames, clamp, with_lse)
    return _attention(q, k, v, "local", _triple(radius, "radius", 0), *options)


def strided_attention(
    q: Tensor, k: Tensor, v: Tensor, stride: int | Sequence[int], *,
    heads: int = 1, scale: float = 1.0, causal: bool = False, query_frames: int | None = None,
    labels: Tensor | None = None, num_objects: int = 0, affinity_frames: int | None = None, clamp: bool = True,
    with_lse: bool = False,
) -> _Result:  # fmt: skip
    """Attention to the cells that steps of ``stride`` (one number, or frames, rows, columns) reach along each axis.

    The rest as in :func:`grid_attention`.
    """
    options = (heads, scale, causal, query_frames, labels, num_objects, affinity_frames, clamp, with_lse)
    return _attention(q, k, v, "strided", _triple(stride, "stride", 1), *options)


def _triple(value: int | Sequence[int], name: str, least: int) -> list[int]:
    values = [value] * 3 if isinstance(value, int) else list(value)
    if len(values) != 3 or any(not isinstance(v, int) or v < least for v in values):
        raise ValueError(f"{name}: expected a whole number of at least {least} or three of them, got {value!r}")
    return values


def _attention(
    q, k, v, pattern, params, heads, scale, causal, query_frames, labels, num_objects, affinity_frames, clamp, with_lse
) -> _Result:
    checks.tensor(q, "q", 5)
    cast = checks.autocast_dtype(q.device.type)
    if cast is not None and q.dtype != torch.float64:
        q, k, v = q.to(cast), k.to(cast), v.to(cast)
    checks.tensor(k, "k", 5, like=q)
    checks.tensor(v, "v", 5, like=q)
    frames = _check_frames(query_frames, "query_frames", q.shape[2] if query_frames is None else k.shape[2], q.shape[2])
    checks.shape(q, "q", (q.shape[0], q.shape[1], frames, *q.shape[3:]), "(B, heads*D, query_frames, H, W)")
    all_frames = frames if query_frames is None else k.shape[2]
    checks.shape(k, "k", (*q.shape[:2], all_frames, *q.shape[3:]), "(B, heads*D, T, H, W)")
    checks.shape(v, "v", (q.shape[0], v.shape[1], *k.shape[2:]), "(B, heads*DV, T, H, W)")
    if not isinstance(heads, int) or heads < 1 or q.shape[1] % heads or v.shape[1] % heads:
        raise ValueError(f"heads: expected a divisor of {q.shape[1]} and {v.shape[1]} channels, got {heads!r}")
    if (labels is None) != (num_objects == 0) or num_objects < 0:
        raise ValueError(f"labels and num_objects: expected both or neither, got num_objects = {num_objects}")
    if labels is not None:
        if labels.is_floating_point() or labels.device != q.device:
            raise ValueError(f"labels: expected whole numbers on {q.device}, got {labels.dtype} on {labels.device}")
        checks.shape(labels, "labels", (k.shape[0], *k.shape[2:]), "(B, T, H, W)")
    if min(q.shape) == 0:
        raise ValueError(f"q: expected at least one cell and channel, got shape {tuple(q.shape)}")
    told = _check_frames(affinity_frames, "affinity_frames", frames, frames)
    out, lse, affinity, _ = sparse_attention(
        q, k, v, heads, float(scale), pattern, params, causal, labels, num_objects, clamp, told
    )
    results = (out, *([] if labels is None else [affinity]), *([lse] if with_lse else []))
    return out if len(results) == 1 else results


def _check_frames(value: int | None, name: str, most: int, otherwise: int) -> int:
    """A number of frames, 1 to ``most``; ``otherwise`` for None."""
    if value is None:
        return otherwise
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name}: expected a whole number in 1..{most}, the frames there are, got {value!r}")
    return value
