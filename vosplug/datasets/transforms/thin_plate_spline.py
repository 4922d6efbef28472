"""Random smooth deformation (Bookstein, PAMI 1989)."""

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from ...utils.masks import VOID
from .clip import Clip


@TRANSFORMS.register_module()
class ThinPlateSpline:
    """Move random control points of each frame and deform the rest smoothly.

    Args:
        scale: standard deviation of the moves, as a share of the canvas; STCN: 0.02.
        points: number of control points; STCN: 12.
        probability: how often a frame is deformed; STCN: 0.33.
        step: the spline is evaluated on every ``step``-th pixel and interpolated linearly between.
        inside_object: points lie in the box around what a frame shows, and ``scale`` is the largest move, as a share
            of the sides of that box (TTVOS: 0.1 and five points). A frame that shows nothing stays.
        keep_first: the first frame stays as it is.
    """

    def __init__(self, scale: float = 0.02, points: int = 12, probability: float = 0.33, step: int = 8,
                 inside_object: bool = False, keep_first: bool = False):
        if scale < 0 or points < 3 or not 0 <= probability <= 1 or step < 1:
            raise ConfigError("ThinPlateSpline needs scale >= 0, points >= 3, a probability in [0, 1] and step >= 1, "
                              f"got {scale}, {points}, {probability}, {step}")
        self.scale, self.points, self.probability, self.step = scale, points, probability, step
        self.inside_object, self.keep_first = inside_object, keep_first

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        grids = [self._grid(clip, t, rng) if rng.random() < self.probability and not (self.keep_first and t == 0)
                 else None for t in range(len(clip))]
        return clip if all(grid is None for grid in grids) else clip.remap(grids)

    def _grid(self, clip: Clip, t: int, rng: np.random.Generator) -> np.ndarray | None:
        if not self.inside_object:
            sources = rng.uniform(size=(self.points, 2))
            targets = sources + rng.normal(scale=self.scale, size=sources.shape)
        else:
            box = box_of(clip.labels[t])
            if box is None:
                return None
            sources = rng.uniform(*box, size=(self.points, 2))
            moves = rng.uniform(-self.scale, self.scale, size=sources.shape) * (box[1] - box[0])
            targets = np.clip(sources + moves, 0, 1)
        return spline_grid(targets, sources - targets, clip.size, self.step)


def box_of(labels: np.ndarray) -> np.ndarray | None:
    """[[left, top], [right, bottom]] of all objects of (H, W), as shares of the canvas; None if there is none."""
    rows, columns = np.nonzero((labels > 0) & (labels < VOID))
    if not len(rows):
        return None
    corners = [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]
    return np.array(corners) / np.array(labels.shape[::-1])


def spline_grid(points: np.ndarray, moves: np.ndarray, size: tuple[int, int], step: int = 1) -> np.ndarray:
    """Where each pixel takes its value from.

    Args:
        points: (N, 2) control points (x, y) as shares of the canvas.
        moves: (N, 2) offset of the source at each of them.
        size: (H, W) of the canvas.
        step: distance of the pixels at which the spline itself is evaluated.

    Returns:
        (H, W, 2) float64 of (x, y) in continuous pixel coordinates.
    """
    height, width = size
    rows, columns = max(2, -(-height // step) + 1), max(2, -(-width // step) + 1)
    y, x = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    coarse = _evaluate(points, moves, np.stack([x, y], -1).reshape(-1, 2)).reshape(rows, columns, 2)
    at = ((np.arange(width) + 0.5) / width * (columns - 1)), ((np.arange(height) + 0.5) / height * (rows - 1))
    fine = cv2.remap(coarse.astype(np.float32), *(m.astype(np.float32) for m in np.meshgrid(*at)), cv2.INTER_LINEAR)
    own = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    return own + fine * np.array([width, height])


def _evaluate(points: np.ndarray, moves: np.ndarray, at: np.ndarray) -> np.ndarray:
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(points, points) + 1e-6 * np.eye(count)  # keeps near-coincident points solvable
    system[:count, count:] = np.concatenate([np.ones((count, 1)), points], 1)
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.lstsq(system, np.concatenate([moves, np.zeros((3, 2))]), rcond=None)[0]
    return _kernel(at, points) @ weights[:count] + np.concatenate([np.ones((len(at), 1)), at], 1) @ weights[count:]


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    return squared * np.log(np.maximum(squared, 1e-12))
