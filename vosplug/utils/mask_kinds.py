"""What the values of a mask mean: ids, smoothed edges, ids stretched over the range of grey, or foreground.

The signs of smoothing (interpolation, JPEG) are values that occur only as rims between two others, where no neighbours
lie directly on either side of such a value. Sixty thin objects are no rims, and a sliver of an occluded object is none
either, since its neighbours meet all around it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_BLOCK, _NEAR = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
_LEAST_RIM = 12  # pixels
_BETWEEN = 0.8  # share of the pixels of rims that have a lower and a higher value near them
_BUSY = 0.25  # share of unequal neighbours: a photograph, not regions
_MANY = 32
_MOST_STRETCHED = 20


def present(labels: np.ndarray) -> list[int]:
    """The values in (H, W) uint8, sorted."""
    if not labels.size:
        return []
    least, most = map(int, cv2.minMaxLoc(labels)[:2])
    if most - least <= 1:
        return [least, most][:1 + most - least]
    return np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256])[:, 0]).tolist()


def thin_values(labels: np.ndarray, values: Sequence[int]) -> list[int]:
    """Those of the values that nowhere fill a square of 3 x 3 pixels."""
    return [value for value in values if not _fills_a_block((labels == value).view(np.uint8))]


def looks_smoothed(labels: np.ndarray, values: Sequence[int] | None = None) -> bool:
    """Whether some values of (H, W) uint8 labels come from interpolation or compression, not from objects."""
    values = present(labels) if values is None else values
    thin = thin_values(labels, values[1:-1]) if len(values) > 2 else []
    if not thin:
        return False
    is_thin = np.zeros(256, np.uint8)
    is_thin[thin] = 1
    rim = is_thin[labels].view(bool)
    count = int(rim.sum())
    if count < _LEAST_RIM:
        return False
    if len(values) > _MANY and _unequal_share(labels) > _BUSY:
        return True
    between = rim & (cv2.erode(labels, _NEAR) < labels) & (cv2.dilate(labels, _NEAR) > labels)
    return between.sum() >= _BETWEEN * count and _passes_by_rims(labels, rim, is_thin)


def looks_stretched(values: Sequence[int], labels: np.ndarray) -> bool:
    """Whether grey values are 0, 255 and all that equal steps give between them: ids scaled to be seen."""
    steps = len(values) - 1
    if not 2 <= steps <= _MOST_STRETCHED or values[0] != 0 or values[-1] != 255:
        return False
    even = all(abs(value - 255 * k / steps) <= 1 for k, value in enumerate(values))
    return even and not thin_values(labels, [255])


def grey_foreground(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of 0 and 1 from grey values that are a foreground mask, maybe with soft edges, or ids."""
    values = present(grey)
    largest = values[-1] if values else 0
    if largest <= 1 or (len(values) == 2 and values[0] == 0):
        return (grey > 0).view(np.uint8)
    soft = looks_smoothed(grey, values)
    if largest <= 127:  # no mask of 0 and 255: ids, with soft edges or without
        return (grey > (_least_region(grey, values) // 2 if soft else 0)).view(np.uint8)
    ids = not soft and values[0] == 0 and len(thin_values(grey, values[1:-1])) <= len(values) // 10
    return (grey > 0 if ids else grey > 127).view(np.uint8)


def background_index(indices: np.ndarray, palette: np.ndarray) -> int | None:
    """The index whose colour is black, where index 0 has another colour: it looks like the background; else None."""
    if not len(palette) or not palette[0].any():
        return None
    used = [value for value in present(indices) if value < len(palette)]
    return next((value for value in used if not palette[value].any()), None)


def _fills_a_block(mask: np.ndarray) -> bool:
    """Whether (H, W) uint8 of 0 and 1 has a square of 3 x 3 ones; beyond the border of the picture all are."""
    left, top, width, height = cv2.boundingRect(mask)
    window = mask[max(0, top - 1):top + height + 1, max(0, left - 1):left + width + 1]
    return bool(cv2.erode(window, _BLOCK, borderType=cv2.BORDER_CONSTANT, borderValue=1).any())


def _least_region(grey: np.ndarray, values: Sequence[int]) -> int:
    """The smallest value above 0 that is no rim and covers a hundredth of what is not 0."""
    thin = thin_values(grey, values)
    whole = np.count_nonzero(grey)
    return next((v for v in values if v and v not in thin and 100 * np.count_nonzero(grey == v) >= whole), values[-1])


def _unequal_share(labels: np.ndarray) -> float:
    """Share of the pairs of neighbours that differ."""
    unequal = np.count_nonzero(labels[1:] != labels[:-1]) + np.count_nonzero(labels[:, 1:] != labels[:, :-1])
    return unequal / max(1, 2 * labels.size)


def _passes_by_rims(labels: np.ndarray, rim: np.ndarray, is_thin: np.ndarray) -> bool:
    """Whether the way from lower to higher values is by rims more often than directly across their values."""
    below = np.concatenate([[0], np.cumsum(is_thin, dtype=np.int64)])  # thin values below each value
    by_rim = direct = 0
    for here in ((slice(1, None), slice(None)), (slice(None), slice(1, None))):
        there = tuple(slice(None, -1) if part.start else part for part in here)
        unequal, through = labels[here] != labels[there], rim[here] | rim[there]
        by_rim += np.count_nonzero(unequal & through)
        low, high = (pick(labels[here], labels[there])[unequal & ~through] for pick in (np.minimum, np.maximum))
        direct += np.count_nonzero(below[high] > below[low.astype(np.intp) + 1])
    return by_rim > direct
