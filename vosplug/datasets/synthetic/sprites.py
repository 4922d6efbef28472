"""Sprites: the textured picture of one thing with its coverage, from which every frame is warped."""

from dataclasses import dataclass

import cv2
import numpy as np

from .classes import ObjectClass
from .shapes import Outline, bar, fill, union
from .textures import SIZE, family_members, texture

_MARGIN = 0.94


@dataclass(frozen=True)
class Sprite:
    """A thing in its own coordinates: pixels, with the origin in the middle of the picture.

    Attributes:
        picture: (S, S, 4) uint8: RGB and coverage. RGB goes on outside of the shape, so that edges blend cleanly.
        area: covered pixels.
        radius: radius of the circle around the shape, in pixels.
    """

    picture: np.ndarray
    area: float
    radius: float

    @property
    def middle(self) -> float:
        """Coordinate of the origin within :attr:`picture`, in both directions."""
        return (self.picture.shape[0] - 1) / 2


def object_sprite(kind: ObjectClass, rng: np.random.Generator, side: float, parts: int, textures: int,
                  colour: float) -> Sprite:
    """A random object of class ``kind`` whose area is about ``side ** 2`` pixels.

    Args:
        kind: shape and texture family.
        rng: source of the random numbers.
        side: wanted square root of the area, in pixels.
        parts: number of primitives.
        textures: number of textures in use.
        colour: strength of the colour jitter.
    """
    outlines = union(kind.shape, parts, rng)
    size = _canvas_size(outlines, side)
    members = family_members(kind.texture, textures)
    base = skin(rng, int(rng.choice(members)), size, colour)
    picture, cover = base, np.zeros((size, size), np.uint8)
    for number, curves in enumerate(outlines):
        part = _fill(curves, size)
        if number and rng.random() < 0.5:
            picture = _paint(picture, skin(rng, int(rng.choice(members)), size, colour), part)
        cover = np.maximum(cover, part)
    return _finish(picture, cover, rng)


def occluder_sprite(rng: np.random.Generator, side: float, textures: int, colour: float) -> Sprite:
    """A pole or a random shape that passes in front; ``side`` is about its extent in pixels."""
    if rng.random() < 0.5:
        outlines, size = [bar(rng)], int(np.clip(2.2 * side, 32, 768))
    else:
        outlines = union(str(rng.choice(["blob", "polygon", "superellipse"])), 1, rng)
        size = _canvas_size(outlines, 0.4 * side)
    cover = _fill(outlines[0], size)
    return _finish(skin(rng, int(rng.integers(textures)), size, colour), cover, rng)


def skin(rng: np.random.Generator, index: int, size: int, colour: float) -> np.ndarray:
    """A (size, size, 3) uint8 piece of texture ``index``: random place, turn and magnification, colours jittered."""
    step = 1 / np.clip(rng.uniform(0.6, 1.5) * size / 130, 0.4, 3.0)
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle) * step, np.sin(angle) * step
    x, y = rng.uniform(0, SIZE, 2)
    piece = cv2.warpAffine(texture(index), np.array([[c, -s, x], [s, c, y]]), (size, size),
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP)
    return recolour(rng, piece, colour)


def recolour(rng: np.random.Generator, picture: np.ndarray, strength: float) -> np.ndarray:
    """Change saturation, contrast, brightness and tint of (H, W, 3) uint8; sometimes permute or invert the channels."""
    if strength == 0:
        return picture
    matrix = np.eye(3)
    if rng.random() < 0.4:
        matrix = matrix[rng.permutation(3)]
    grey = np.full((3, 3), 1 / 3)
    saturation = np.clip(1 + strength * rng.uniform(-0.6, 0.6), 0, 2)
    matrix = (grey + saturation * (np.eye(3) - grey)) @ matrix
    gain = np.exp(strength * (rng.uniform(-0.3, 0.3) + rng.uniform(-0.15, 0.15, 3)))
    matrix = gain[:, None] * matrix
    offset = strength * rng.uniform(-30, 30) + 128 - matrix.sum(1) * 128
    if rng.random() < 0.25:
        matrix, offset = -matrix, 255 - offset
    return cv2.transform(picture, np.concatenate([matrix, offset[:, None]], 1).astype(np.float32))


def _canvas_size(outlines: list[Outline], side: float) -> int:
    """Canvas on which the union of the outlines covers about ``side ** 2`` pixels."""
    probe = np.zeros((64, 64), np.uint8)
    for curves in outlines:
        probe = np.maximum(probe, _fill(curves, 64))
    share = max(np.count_nonzero(probe > 127) / probe.size, 0.05)
    return int(np.clip(side / np.sqrt(share), 24, 768))


def _fill(curves: Outline, size: int) -> np.ndarray:
    middle = (size - 1) / 2
    return fill(curves, size, _MARGIN * size / 2, np.array([middle, middle]))


def _paint(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    weight = cover.astype(np.float32) / 255
    return cv2.blendLinear(above, below, weight, 1 - weight)


def _finish(picture: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> Sprite:
    """Shade the picture as if it bulged, lit from a random side, and join it with its coverage."""
    size = cover.shape[0]
    small = cv2.resize(cover, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    height = cv2.GaussianBlur(small, (0, 0), 2.5)
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 2.5)
    slope = np.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(height, cv2.CV_32F, 0, 1)
    light = np.clip(1 + depth * slope + rng.uniform(0, 0.4) * (height - 0.8), 0.3, 1.7)
    light = cv2.resize(light, (size, size), interpolation=cv2.INTER_LINEAR)
    shaded = cv2.multiply(picture, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    area = float(np.count_nonzero(cover > 127))
    return Sprite(cv2.merge([*cv2.split(shaded), cover]), max(area, 1.0), _MARGIN * size / 2)
