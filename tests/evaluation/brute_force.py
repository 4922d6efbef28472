"""The rules of the measures spelt out pixel by pixel, to check the fast code against. Slow: for small masks only."""

import numpy as np


def boundary_pixels(mask: np.ndarray) -> set[tuple[int, int]]:
    """Pixels that differ from their right, lower or lower-right neighbour; along the edge only from what exists."""
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            near = [(y, x + 1)] if y == height - 1 else [(y + 1, x)] if x == width - 1 else \
                [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(b < width and mask[a, b] != mask[y, x] for a, b in near):
                found.add((y, x))
    return found


def count_matched(points: set, target: set, radius: int) -> int:
    """Number of ``points`` with a pixel of ``target`` at a distance of at most ``radius``."""
    return sum(any((y - a) ** 2 + (x - b) ** 2 <= radius * radius for a, b in target) for y, x in points)


def jaccard(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Intersection over union of two boolean masks; 1 if both are empty."""
    union = (prediction | reference).sum()
    return (prediction & reference).sum() / union if union else 1.0


def f_measure(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Boundary measure of two boolean masks."""
    radius = int(np.ceil(0.008 * np.linalg.norm(prediction.shape)))
    p, r = boundary_pixels(prediction), boundary_pixels(reference)
    if not p and not r:
        return 1.0
    if not p or not r:
        return 0.0
    precision, recall = count_matched(p, r, radius) / len(p), count_matched(r, p, radius) / len(r)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def shapes(height: int, width: int, seed: int, ids: int = 3) -> np.ndarray:
    """A label map (H, W) uint8 of overlapping boxes and single pixels, some of them at the edge of the image."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(0, 6))):
        y, x = rng.integers(-height // 4, height), rng.integers(-width // 4, width)
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        labels[max(y, 0):max(y + h, 0), max(x, 0):max(x + w, 0)] = rng.integers(0, ids + 1)
    for _ in range(int(rng.integers(0, 4))):
        labels[rng.integers(height), rng.integers(width)] = rng.integers(0, ids + 1)
    return labels
