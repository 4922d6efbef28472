"""Boundaries of masks and how many of their pixels lie near another boundary, exactly and without full-frame work."""

import functools
import math

import cv2
import numpy as np

TOLERANCE = 0.008
"""Boundary tolerance of DAVIS as a share of the image diagonal."""

_CORNER = np.ones((2, 2), np.uint8)
_GATHER_COST = 300
"""What one look-up of a pixel costs, in units of one dilation step per pixel (measured; only speed depends on it)."""


def boundary_tolerance(height: int, width: int) -> int:
    """Tolerance of the boundary measure in pixels: ceil(0.008 * diagonal)."""
    return math.ceil(TOLERANCE * math.sqrt(height * height + width * width))


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Boundary of a mask: pixels that differ from their right, lower or lower-right neighbour.

    In the last row and column only the neighbours that exist count, so the edge of the image is no boundary.

    Args:
        mask: (H, W) uint8, 0 or 1.

    Returns:
        (H, W) uint8, 0 or 1.
    """
    # A pixel differs from one of the three neighbours exactly if its 2 x 2 block is not constant; repeating the last
    # row and column adds no difference, which is the rule at the edge.
    return cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, _CORNER, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)


def count_matched(points: np.ndarray, target: np.ndarray, radius: int) -> int:
    """Count the pixels of ``points`` that have a pixel of ``target`` at a Euclidean distance of at most ``radius``.

    Args:
        points, target: (H, W) uint8, 0 or 1, contiguous.
        radius: in pixels, at least 0.

    The square inside the disk settles most pixels with a fast separable dilation; the rest is looked up one by one in
    the ring between square and disk, or settled by the dilation with the disk where there are too many of them.
    """
    disk = _disk(radius)
    unsettled = np.greater(points, cv2.dilate(target, disk.square)).view(np.uint8)
    count = cv2.countNonZero(unsettled)
    total = cv2.countNonZero(points)
    if not count:
        return total
    if count * len(disk.ring) * _GATHER_COST > target.size * disk.area:
        return cv2.countNonZero(cv2.dilate(target, disk.kernel) & points)
    padded = cv2.copyMakeBorder(target, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=0)
    stride = padded.shape[1]
    columns, rows = cv2.findNonZero(unsettled).reshape(-1, 2).T
    places = (rows + radius) * stride + columns + radius
    around = disk.ring[:, :1] * stride + disk.ring[:, 1:]
    return total - count + int(padded.ravel()[around + places].any(axis=0).sum())


class _Disk:
    """The disk y^2 + x^2 <= R^2 as a kernel, the largest centred square inside it, and what lies between the two."""

    def __init__(self, radius: int):
        y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]
        inside = y * y + x * x <= radius * radius
        half = math.isqrt(radius * radius // 2)
        self.kernel = inside.astype(np.uint8)
        self.area = int(inside.sum())
        self.square = np.ones((2 * half + 1, 2 * half + 1), np.uint8)
        ring = inside & (np.maximum(abs(y), abs(x)) > half)
        self.ring = np.stack([y[ring], x[ring]], axis=1).astype(np.int32)


_disk = functools.lru_cache(maxsize=32)(_Disk)


def disk_kernel(radius: int) -> np.ndarray:
    """The disk y^2 + x^2 <= radius^2 as (2 radius + 1, 2 radius + 1) uint8."""
    return _disk(radius).kernel
