"""Random regions of a picture."""

import cv2
import numpy as np

TRIES = 8
LEAST_AREA = 16  # pixels


def random_regions(image: np.ndarray, rng: np.random.Generator, count: tuple[int, int] = (1, 4),
                   area: tuple[float, float] = (0.01, 0.25), seeds: tuple[int, int] = (8, 40)) -> np.ndarray:
    """Disjoint connected regions that follow the picture: basins of a watershed from random points.

    Args:
        image: (H, W, 3) uint8.
        rng: source of the random numbers.
        count: least and largest number of regions.
        area: least and largest share of the picture that a region has.
        seeds: least and largest number of points.

    Returns:
        (H, W) uint8: 0, and 1 .. K for the regions, at least one. Where a picture gives fewer basins of such an area
        than were drawn, those that it gives.
    """
    height, width = image.shape[:2]
    low, high = max(LEAST_AREA, area[0] * height * width), area[1] * height * width
    wanted = int(rng.integers(count[0], count[1] + 1))
    best = np.zeros((height, width), np.uint8)
    for attempt in range(TRIES):
        # The last tries see no picture: the basins of points alone are of nearly equal size, so that some always fit.
        basins = _basins(image if attempt < TRIES - 2 else np.zeros_like(image), rng, seeds)
        sizes = np.bincount(basins.ravel())
        fitting = np.flatnonzero((sizes >= low) & (sizes <= high))
        chosen = rng.permutation(fitting[fitting > 0])[:wanted]
        if len(chosen) > best.max():
            table = np.zeros(len(sizes), np.uint8)
            table[chosen] = np.arange(1, len(chosen) + 1)
            best = table[basins]
        if best.max() == wanted:
            break
    return best


def _basins(image: np.ndarray, rng: np.random.Generator, seeds: tuple[int, int]) -> np.ndarray:
    """(H, W) int32, the basin of every pixel, from 1; each is connected."""
    height, width = image.shape[:2]
    points = int(rng.integers(seeds[0], seeds[1] + 1))
    places = rng.choice(height * width, size=min(points, height * width), replace=False)
    markers = np.zeros(height * width, np.int32)
    markers[places] = np.arange(1, len(places) + 1)
    markers = cv2.watershed(np.ascontiguousarray(image), markers.reshape(height, width))
    markers[[0, -1]], markers[:, [0, -1]] = markers[[1, -2]], markers[:, [1, -2]]  # the frame is never flooded
    lines = markers < 1
    while lines.any():  # lines between basins go to a neighbour
        grown = cv2.dilate(markers.astype(np.float32), np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8))
        markers[lines] = grown[lines].astype(np.int32)
        if (markers < 1).sum() == lines.sum():
            break
        lines = markers < 1
    return np.maximum(markers, 0)
