"""Resizing of masks and logits, as tensors."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures import Geometry


def resize_masks(masks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sample masks; an object that would vanish keeps all that it touches.

    Args:
        masks: (..., H, W), a mask of one object each (floating or bool), or label maps (whole numbers, 0 background).
        rows, columns: (h,) and (w,) int64, the pixels that are taken.

    Returns:
        (..., h, w).
    """
    small = masks[..., rows.to(masks.device)[:, None], columns.to(masks.device)]
    one_each = masks.is_floating_point() or masks.dtype == torch.bool
    for value in [1] if one_each else [v for v in masks.unique().tolist() if v]:
        before, after = (x > 0 if one_each else x == value for x in (masks, small))
        lost = before.flatten(-2).any(dim=-1) & ~after.flatten(-2).any(dim=-1)
        if lost.any():
            touched = F.adaptive_max_pool2d(before[lost].float(), tuple(small.shape[-2:])) > 0
            small[lost] = small[lost].masked_fill(touched, value)
    return small


def resize_bilinear(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Interpolate (..., h, w) to ``size`` (H, W); identity if it has that size."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return _finite(x, lambda y: F.interpolate(y, size=tuple(size), mode="bilinear", align_corners=align_corners))


def resize_window(x: Tensor, geometry: Geometry) -> Tensor:
    """Interpolate (..., h, w), which covers a padded frame at any resolution, to the native size of what is inside.

    Pixels are squares: a native pixel is sampled where its centre lies in ``x``, so nothing is cut at whole cells.
    """
    left, right, top, bottom = geometry.pad
    height, width = geometry.network
    inside = x.new_tensor([[[geometry.size[1] / width, 0, (left - right) / width],
                            [0, geometry.size[0] / height, (top - bottom) / height]]])

    def sample(y: Tensor) -> Tensor:
        grid = F.affine_grid(inside.expand(len(y), -1, -1), [len(y), 1, *geometry.native], align_corners=False)
        return F.grid_sample(y, grid, mode="bilinear", padding_mode="border", align_corners=False)

    return _finite(x, sample)


def _finite(x: Tensor, resize: Callable[[Tensor], Tensor]) -> Tensor:
    """Resize the planes of (..., h, w); planes that are -inf stay -inf: 0 * inf of an interpolation would be NaN."""
    planes = x if x.ndim == 4 else x.reshape(1, -1, *x.shape[-2:])
    absent = planes.amax(dim=(-2, -1), keepdim=True).isneginf()
    if absent.any():
        planes = resize(planes.masked_fill(absent, 0)).masked_fill(absent, float("-inf"))
    else:
        planes = resize(planes)
    return planes.reshape(*x.shape[:-2], *planes.shape[-2:])
