"""Smooth motion as functions of time: nothing is accumulated, so any frame of a long video can be asked for."""

from dataclasses import dataclass

import numpy as np


class Wave:
    """A bounded smooth random walk in D dimensions: a sum of sinusoids with random periods.

    Args:
        rng: source of the random numbers.
        amplitude: bound of the absolute value in each dimension, (D,) or a number for D = 1.
        periods: shortest and longest period in frames. Long periods get larger amplitudes, as in a random walk.
        terms: number of sinusoids.
    """

    def __init__(self, rng: np.random.Generator, amplitude, periods: tuple[float, float], terms: int = 3):
        amplitude = np.atleast_1d(np.asarray(amplitude, np.float64))
        low, high = np.log(periods)
        period = np.exp(rng.uniform(low, high, (terms, len(amplitude))))
        weight = rng.uniform(0.3, 1.0, period.shape) * np.sqrt(period)
        self._weight = weight / weight.sum(0) * amplitude
        self._rate = 2 * np.pi / period
        self._phase = rng.uniform(0, 2 * np.pi, period.shape)

    def __call__(self, t: float) -> np.ndarray:
        """Value at time ``t`` (frames), (D,)."""
        return (self._weight * np.sin(self._rate * t + self._phase)).sum(0)


@dataclass(frozen=True)
class Absence:
    """When a thing is away: 1 outside the picture, 0 in its place, sliding in between.

    Attributes:
        enter: time at which it has come in; None: it is there from the start.
        leave: middle of the time that it is away; None: it stays.
        away: how long it is away, in frames.
        every: the absence repeats after this time.
        slide: how long it takes to come or go, in frames.
    """

    enter: float | None = None
    leave: float | None = None
    away: float = 0.0
    every: float = 1.0
    slide: float = 1.0

    def __call__(self, t: float) -> float:
        """Share of the way out at time ``t``, 0..1."""
        share = 0.0
        if self.enter is not None:
            share = (self.enter - t) / self.slide
        if self.leave is not None:
            distance = abs((t - self.leave + self.every / 2) % self.every - self.every / 2)
            share = max(share, (self.away / 2 + self.slide - distance) / self.slide)
        share = min(max(share, 0.0), 1.0)
        return share * share * (3 - 2 * share)


class Track:
    """Position, rotation, size and shear of one thing over time, as a 2 x 3 matrix from its own to picture coordinates.

    Args:
        rng: source of the random numbers.
        anchor: (x, y) that the thing wanders around, in pixels.
        size: (H, W) of the picture.
        factor: pixels of the picture per unit of the thing's own coordinates.
        reach: radius of the thing in pixels; how far it has to go to be out of the picture.
        roam: how far the position wanders, as a fraction of the picture.
        spin: largest rotation in radians.
        absence: when the thing is away.
    """

    def __init__(self, rng: np.random.Generator, anchor, size: tuple[int, int], factor: float, reach: float,
                 roam: float = 0.2, spin: float = 0.5, absence: Absence | None = None):
        height, width = size
        side = min(size)
        self._factor = factor
        self._place = Wave(rng, roam * np.array([width, height]) * rng.uniform(0.5, 1.0), (45, 320))
        self._anchor = np.asarray(anchor, np.float64)
        self._turn = Wave(rng, spin * rng.uniform(0.2, 1.0), (50, 250))
        self._grow = Wave(rng, 0.25 * rng.uniform(0.2, 1.0), (60, 300))
        self._shear = Wave(rng, 0.12, (40, 200))
        self._absence = absence
        angle = rng.choice([0, np.pi]) + rng.uniform(-0.7, 0.7)
        # From anywhere in the picture this way leads out of it: a diagonal and the thing's own size.
        self._exit = np.array([np.cos(angle), np.sin(angle)]) * (width + roam * side + 1.3 * reach)

    def __call__(self, t: float) -> np.ndarray:
        """The matrix at time ``t``, (2, 3)."""
        angle, shear = self._turn(t)[0], self._shear(t)[0]
        scale = self._factor * np.exp(self._grow(t)[0] - self._grow(0.0)[0])
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        linear = np.array([[c, -s], [s, c]]) @ np.array([[1.0, shear], [0.0, 1.0]])
        place = self._anchor + self._place(t)
        if self._absence is not None:
            place = place + self._exit * self._absence(t)
        return np.concatenate([linear, place[:, None]], 1)


class Warp:
    """A smooth displacement that changes over time, in a thing's own coordinates.

    Args:
        rng: source of the random numbers.
        amplitude: bound of the displacement, in units of the coordinates.
        length: about the wave length, in the same units.
    """

    def __init__(self, rng: np.random.Generator, amplitude: float, length: float, terms: int = 3):
        angle = rng.uniform(0, 2 * np.pi, terms)
        frequency = 2 * np.pi / (length * rng.uniform(0.7, 1.8, terms))
        self._k = np.stack([np.cos(angle), np.sin(angle)], 1) * frequency[:, None]
        self._phase = rng.uniform(0, 2 * np.pi, (terms, 2))
        self._rate = 2 * np.pi / rng.uniform(30, 140, (terms, 2)) * rng.choice([-1, 1], (terms, 2))
        self._weight = rng.dirichlet(np.ones(terms), 2).T * amplitude

    def __call__(self, points: np.ndarray, t: float) -> np.ndarray:
        """Displaced points at time ``t``: (..., 2) -> (..., 2)."""
        moved = points
        for k, phase, rate, weight in zip(self._k, self._phase, self._rate, self._weight, strict=True):
            along = points[..., 0] * k[0] + points[..., 1] * k[1]
            moved = moved + weight * np.sin(along[..., None] + phase + rate * t)
        return moved


class View:
    """The camera: a 2 x 3 matrix from scene to picture coordinates (rotation, zoom and shake about the middle)."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], strength: float):
        self._middle = np.array([size[1] / 2, size[0] / 2])
        self._turn = Wave(rng, 0.07 * strength * rng.random(), (60, 300))
        self._zoom = Wave(rng, 0.1 * strength * rng.random(), (60, 300))
        self._shake = Wave(rng, np.full(2, 0.02 * strength * min(size) * rng.random() ** 2), (7, 40))

    def __call__(self, t: float) -> np.ndarray:
        """The matrix at time ``t``, (2, 3)."""
        angle, scale = self._turn(t)[0], np.exp(self._zoom(t)[0])
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.concatenate([linear, (self._middle - linear @ self._middle + self._shake(t))[:, None]], 1)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The 2 x 3 matrix that applies ``inner``, then ``outer``."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.concatenate([linear, (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], 1)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a 2 x 3 matrix."""
    (a, b, x), (c, d, y) = matrix.tolist()
    inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    return np.concatenate([inverse, -(inverse @ np.array([x, y]))[:, None]], 1)
