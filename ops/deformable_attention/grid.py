"""The reference grid of deformable attention (deformable DeAOT, section 3.2.2)."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def reference_axis(length: int, count: int, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
    """(count,) pixel coordinates: the centres of ``count`` equal parts of an axis of ``length`` pixels."""
    return (torch.arange(count, device=device, dtype=dtype or torch.float32) + 0.5) * (length / count) - 0.5


def reference_points(
    size: tuple[int, int], grid: tuple[int, int], device: torch.device | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return (grid[0], grid[1], 2) pixel coordinates (y, x): the centres of a uniform grid over a map of ``size``."""
    axes = [reference_axis(length, count, device, dtype) for length, count in zip(size, grid, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def kept(make: Callable) -> Callable:
    """Keep the last results of ``make``; not while a compiler looks, which keeps them in its own way."""
    cached = functools.lru_cache(maxsize=16)(torch.inference_mode(False)(make))  # they may be used in training later

    @functools.wraps(make)
    def get(*args):
        return make(*args) if torch.compiler.is_compiling() else cached(*args)

    get.cache_clear = cached.cache_clear
    return get
