"""Shape families: random closed outlines in the plane, of radius about 1 around the origin."""

from collections.abc import Callable

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's polygon corners
Outline = list[np.ndarray]  # one or two closed curves, each (P, 2); the second is a hole


def outline(family: str, rng: np.random.Generator) -> Outline:
    """A random outline of ``family``, turned by a random angle and squeezed a little."""
    squeeze = np.array([1.0, rng.uniform(0.65, 1.0)])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [curve * squeeze @ turn for curve in SHAPES[family](rng)]


def fill(curves: Outline, size: int, scale: float, centre: np.ndarray) -> np.ndarray:
    """Paint an outline smoothly on a (size, size) uint8 canvas; coverage 0..255."""
    canvas = np.zeros((size, size), np.uint8)
    corners = [np.round((curve * scale + centre) * (1 << _SHIFT)).astype(np.int32) for curve in curves]
    cv2.fillPoly(canvas, corners, 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return canvas


def union(family: str, count: int, rng: np.random.Generator) -> list[Outline]:
    """``count`` outlines that touch: the first is the body, the others sit on outlines before them.

    All together fit into the unit circle around the origin.
    """
    parts = [outline(family, rng)]
    for _ in range(count - 1):
        host = parts[int(rng.integers(len(parts)))][0]
        joint = host[int(rng.integers(len(host)))] * rng.uniform(0.8, 1.0)
        size = rng.uniform(0.35, 0.75)
        parts.append([curve * size + joint for curve in outline(family, rng)])
    points = np.concatenate([curve for part in parts for curve in part])
    centre = (points.min(0) + points.max(0)) / 2
    radius = np.linalg.norm(points - centre, axis=1).max()
    return [[(curve - centre) / radius for curve in part] for part in parts]


def bar(rng: np.random.Generator) -> Outline:
    """A long pole across the unit circle, the usual thing that a scene disappears behind."""
    half = rng.uniform(0.06, 0.14)
    return [np.array([[-half, -1.0], [half, -1.0], [half * rng.uniform(0.6, 1.0), 1.0], [-half, 1.0]])]


def _polar(radius: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _angles(count: int = 72) -> np.ndarray:
    return np.linspace(0, 2 * np.pi, count, endpoint=False)


def _blob(rng):
    radius = np.ones(72)
    for k in range(2, 7):
        radius += rng.normal(0, 0.22 / (k - 1)) * np.cos(k * _angles() + rng.uniform(0, 2 * np.pi))
    return [_polar(np.clip(radius, 0.35, 1.7))]


def _star(rng):
    tips = int(rng.integers(4, 8))
    radius = np.ones(2 * tips)
    radius[1::2] = rng.uniform(0.38, 0.6)
    return [_polar(radius * rng.uniform(0.85, 1.15, 2 * tips))]


def _capsule(rng):
    length, width = rng.uniform(0.7, 1.1), rng.uniform(0.3, 0.5)
    half = np.linspace(-np.pi / 2, np.pi / 2, 18)
    right = np.stack([length + width * np.cos(half), width * np.sin(half)], 1)
    bend = rng.uniform(-0.25, 0.25)
    points = np.concatenate([right, -right])
    return [points + np.stack([np.zeros(36), bend * points[:, 0] ** 2], 1)]


def _polygon(rng):
    corners = int(rng.integers(3, 8))
    angle = _angles(corners) + rng.uniform(-0.35, 0.35, corners) * 2 * np.pi / corners
    radius = rng.uniform(0.75, 1.15, corners)
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)]


def _superellipse(rng):
    power = 2 / rng.uniform(2.5, 5.0)
    c, s = np.cos(_angles()), np.sin(_angles())
    return [np.stack([np.sign(c) * np.abs(c) ** power, rng.uniform(0.55, 1) * np.sign(s) * np.abs(s) ** power], 1)]


def _ring(rng):
    outer = 1 + 0.1 * rng.uniform(-1, 1) * np.cos(3 * _angles() + rng.uniform(0, 2 * np.pi))
    return [_polar(outer), _polar(outer * rng.uniform(0.35, 0.6)) + rng.uniform(-0.1, 0.1, 2)]


def _crescent(rng):
    reach = rng.uniform(1.7, 2.4)
    angle = np.linspace(-reach, reach, 40)
    thick = rng.uniform(0.45, 0.75) * np.cos(angle / reach * np.pi / 2) ** 0.7 + 0.03
    outer = np.stack([np.cos(angle), np.sin(angle)], 1)
    return [np.concatenate([outer, (outer * (1 - thick)[:, None])[::-1]])]


def _flower(rng):
    petals = int(rng.integers(3, 8))
    radius = 0.75 + rng.uniform(0.18, 0.3) * np.cos(petals * _angles()) + rng.uniform(-0.1, 0.1) * np.cos(_angles())
    return [_polar(radius)]


SHAPES: dict[str, Callable[[np.random.Generator], Outline]] = {
    "blob": _blob, "star": _star, "capsule": _capsule, "polygon": _polygon,
    "superellipse": _superellipse, "ring": _ring, "crescent": _crescent, "flower": _flower,
}
