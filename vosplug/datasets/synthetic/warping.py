"""Warping of pictures with OpenCV: coordinate maps from a coarse lattice, remapping, blending."""

import cv2
import numpy as np

from .motion import Warp

SMALL_BOX = 64  # longer side in pixels up to which the lattice is finer, as small things have short waves
Box = tuple[int, int, int, int]


def lattice_maps(inverse: np.ndarray, box: Box, warp: Warp | None, t: float) -> np.ndarray:
    """Source coordinates of the pixels of ``box``.

    Args:
        inverse: (2, 3) matrix from picture to source coordinates.
        box: x0, y0, x1, y1 in the picture.
        warp: displacement in source coordinates, applied after the matrix.
        t: time, for the warp.

    Returns:
        (y1 - y0, x1 - x0, 2) float32, x before y.
    """
    x0, y0, x1, y1 = box
    step = 4 if max(x1 - x0, y1 - y0) <= SMALL_BOX else 8
    xs, ys = _lattice_axis(x0, x1, step), _lattice_axis(y0, y1, step)
    points = np.empty((len(ys), len(xs), 2))
    points[..., 0] = inverse[0, 0] * xs + inverse[0, 1] * ys[:, None] + inverse[0, 2]
    points[..., 1] = inverse[1, 0] * xs + inverse[1, 1] * ys[:, None] + inverse[1, 2]
    if warp is not None:
        points = warp(points, t)
    fine = cv2.resize(points.astype(np.float32), (len(xs) * step, len(ys) * step), interpolation=cv2.INTER_LINEAR)
    return fine[step:step + y1 - y0, step:step + x1 - x0]


def remap(picture: np.ndarray, maps: np.ndarray, wrap: bool = False) -> np.ndarray:
    """Bilinear samples of ``picture`` at ``maps`` (H, W, 2); outside it is zero, or repeats with ``wrap``."""
    border = cv2.BORDER_WRAP if wrap else cv2.BORDER_CONSTANT
    return cv2.remap(picture, maps, None, cv2.INTER_LINEAR, borderMode=border, borderValue=(0, 0, 0, 0))


def blend(frame: np.ndarray, patch: np.ndarray, box: Box) -> None:
    """Lay ``patch`` (h, w, 4), RGB and coverage, over ``box`` of ``frame`` (H, W, 3), in place."""
    x0, y0, x1, y1 = box
    weight = cv2.extractChannel(patch, 3).astype(np.float32)
    weight *= 1 / 255
    region = frame[y0:y1, x0:x1]
    region[:] = cv2.blendLinear(cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB), region, weight, 1 - weight)


def bounding_box(matrix: np.ndarray, radius: float, margin: float, size: tuple[int, int]) -> Box | None:
    """The part of the picture that a disc of ``radius`` around the origin of a thing can cover; None if outside.

    Args:
        matrix: (2, 3) from the thing's to picture coordinates.
        radius: in the thing's coordinates.
        margin: how much further its warp can move it, in the same units.
        size: (H, W) of the picture.
    """
    extent = np.hypot(matrix[:, 0], matrix[:, 1]) * (radius + margin) + 1
    x0, y0 = np.maximum(np.floor(matrix[:, 2] - extent), 0)
    x1, y1 = np.minimum(np.ceil(matrix[:, 2] + extent) + 1, (size[1], size[0]))
    if x1 <= x0 or y1 <= y0:
        return None
    return int(x0), int(y0), int(x1), int(y1)


def _lattice_axis(first: int, end: int, step: int) -> np.ndarray:
    """Positions of lattice points with one more on each side; pixel centres of a ``step`` times smaller picture."""
    count = -(-(end - first) // step)
    return first + (np.arange(-1, count + 1) + 0.5) * step - 0.5
