"""Masks drawn over their frame."""

import cv2
import numpy as np

from ..utils.errors import InputError
from ..utils.masks import DAVIS_PALETTE

KERNEL = np.ones((3, 3), np.uint8)
# The colours at full brightness: most of the palette is too dark for a thin line.
BRIGHT = (DAVIS_PALETTE * (255 / np.maximum(DAVIS_PALETTE.max(axis=1, keepdims=True), 1))).astype(np.uint8)


def draw_overlay(image: np.ndarray, labels: np.ndarray, *, alpha: float = 0.5, contour: bool = True) -> np.ndarray:
    """Fill objects with their DAVIS colour and outline them.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        labels: (H, W) uint8 ids, 0 background.
        alpha: weight of the colour in the fill, 0 (none) to 1 (opaque).
        contour: draw a line of the object's brightest colour inside its edge.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: the sizes differ, or ``alpha`` is outside of 0..1.
    """
    if image.shape[:2] != labels.shape:
        raise InputError(f"an overlay needs labels of the size of the image, got {labels.shape} and {image.shape[:2]}")
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must lie in 0..1, got {alpha}")
    canvas = image.copy()
    x, y, width, height = cv2.boundingRect(labels)
    if not width:
        return canvas
    # One pixel of margin, so that an edge on the border of the box is seen as one.
    box = np.s_[max(y - 1, 0) : y + height + 1, max(x - 1, 0) : x + width + 1]
    part, ids = np.ascontiguousarray(canvas[box]), np.ascontiguousarray(labels[box])
    colours = DAVIS_PALETTE[ids]
    filled = cv2.addWeighted(part, 1 - alpha, colours, alpha, 0)
    cv2.copyTo(filled, ids, part)
    if contour:
        edge = inner_edge(ids)
        cv2.copyTo(BRIGHT[ids], edge, part)
    canvas[box] = part
    return canvas


def inner_edge(labels: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 1 on pixels of an object that touch another label; the border of the picture is no edge."""
    differs = cv2.dilate(labels, KERNEL) != cv2.erode(labels, KERNEL)
    return (differs & (labels > 0)).astype(np.uint8)
