"""Procedural textures: periodic, 320 x 320, made on demand and kept for the life of the process.

All textures repeat without a seam, so that ``BORDER_WRAP`` extends them to any size.
"""

from functools import lru_cache

import cv2
import numpy as np

SIZE = 320
MASKS = 24
_TAG = 7001  # keeps these random streams apart from all others


@lru_cache(maxsize=4096)
def texture(index: int) -> np.ndarray:
    """Texture number ``index``, (320, 320, 3) uint8 RGB, read-only. Its family is ``index % 8``."""
    rng = np.random.default_rng((_TAG, index))
    field = list(FAMILIES.values())[index % len(FAMILIES)](rng)
    picture = _palette(rng)[np.clip(field * 255, 0, 255).astype(np.uint8)]
    shade = 1 + rng.uniform(0.06, 0.2) * noise(rng, rng.uniform(1.6, 2.2))
    fine = rng.uniform(2, 9) * noise(rng, 0.4)
    picture = np.clip(picture * shade[..., None] + fine[..., None], 0, 255).astype(np.uint8)
    picture.setflags(write=False)
    return picture


@lru_cache(maxsize=MASKS)
def patch_mask(index: int) -> np.ndarray:
    """Soft periodic patches, (320, 320) uint8 in 0..255: where the nearer layer of a background lies."""
    rng = np.random.default_rng((_TAG, 1, index))
    field = noise(rng, rng.uniform(2.2, 3.0))
    level = np.quantile(field, rng.uniform(0.4, 0.75))
    mask = np.clip((field - level) * rng.uniform(8, 25) * 127 + 127, 0, 255).astype(np.uint8)
    mask.setflags(write=False)
    return mask


def family_members(family: str, count: int) -> range:
    """Indices below ``count`` of the textures of ``family``."""
    return range(list(FAMILIES).index(family), count, len(FAMILIES))


def noise(rng: np.random.Generator, slope: float, stretch: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """Periodic noise with amplitude spectrum 1 / f**slope, (320, 320) float32, mean 0, deviation 1.

    ``stretch`` > 1 makes it that much longer along ``angle`` (radians).
    """
    fy, fx = np.fft.fftfreq(SIZE)[:, None] * SIZE, np.fft.rfftfreq(SIZE)[None] * SIZE
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    radius = np.sqrt((along * stretch) ** 2 + across ** 2)
    radius[0, 0] = np.inf
    white = rng.standard_normal((2, *radius.shape), dtype=np.float32)
    field = np.fft.irfft2((white[0] + 1j * white[1]) / np.maximum(radius, 1.0) ** slope, s=(SIZE, SIZE))
    return ((field - field.mean()) / (field.std() + 1e-9)).astype(np.float32)


def _clouds(rng):
    return 0.5 + 0.27 * noise(rng, rng.uniform(1.2, 1.9))


def _stripes(rng):
    phase = _plane_wave(rng, rng.integers(5, 14)) + rng.uniform(0.2, 1.3) * noise(rng, 2.4)
    return 0.5 + 0.5 * np.tanh(rng.uniform(1, 6) * np.sin(phase)) * _fade(rng)


def _checks(rng):
    k, bend = rng.integers(4, 11), rng.uniform(0.0, 0.8)
    x, y = _grid()
    a = np.sin(2 * np.pi * k * x + bend * noise(rng, 2.4))
    b = np.sin(2 * np.pi * (k + rng.integers(-2, 3)) * y + bend * noise(rng, 2.4))
    return 0.5 + 0.5 * np.tanh(rng.uniform(4, 14) * a * b) * _fade(rng)


def _cells(rng):
    points, near, owner = _voronoi(rng, int(rng.integers(30, 140)))
    edge = np.clip((near[..., 1] - near[..., 0]) / rng.uniform(3, 7), 0, 1)
    return (0.15 + 0.85 * rng.random(len(points)))[owner] * edge


def _dots(rng):
    points, near, owner = _voronoi(rng, int(rng.integers(40, 160)))
    reach = SIZE / np.sqrt(len(points))
    radius = (reach * rng.uniform(0.2, 0.45, len(points)))[owner]
    level = rng.uniform(0.6, 1.0, len(points))[owner]
    return 0.12 + 0.85 * level * np.clip((radius - near[..., 0]) / 2 + 0.5, 0, 1) + 0.05 * noise(rng, 1.5)


def _waves(rng):
    waves = [np.sin(_plane_wave(rng, rng.integers(2, 9)) + 0.4 * noise(rng, 2.4)) for _ in range(3)]
    return 0.5 + 0.5 * np.sin(rng.uniform(2, 5) * sum(waves) / 1.7)


def _marble(rng):
    ridges = 1 - np.abs(noise(rng, rng.uniform(1.6, 2.2))) * rng.uniform(1.2, 3.0)
    return np.clip(ridges, 0, 1) ** 2 * 0.75 + 0.25 * (0.5 + 0.3 * noise(rng, 1.5))


def _grain(rng):
    return 0.5 + 0.25 * noise(rng, rng.uniform(0.7, 1.1), rng.uniform(4, 10), rng.uniform(0, np.pi))


FAMILIES = {"clouds": _clouds, "stripes": _stripes, "checks": _checks, "cells": _cells,
            "dots": _dots, "waves": _waves, "marble": _marble, "grain": _grain}


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(SIZE, dtype=np.float32) / SIZE
    return axis[None], axis[:, None]


def _plane_wave(rng: np.random.Generator, waves: int) -> np.ndarray:
    """Phase of a plane wave with about ``waves`` periods; whole numbers along both axes keep it seamless."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = _grid()
    return 2 * np.pi * (round(waves * np.cos(angle)) * x + round(waves * np.sin(angle)) * y + rng.random())


def _fade(rng: np.random.Generator) -> np.ndarray:
    return np.clip(0.8 + 0.2 * noise(rng, 1.8), 0.3, 1)


def _voronoi(rng: np.random.Generator, count: int):
    """Random points with the distances (320, 320, 2) to the two nearest, and the number of the nearest."""
    from scipy.spatial import cKDTree

    points = rng.random((count, 2)) * SIZE
    y, x = np.mgrid[:SIZE, :SIZE]
    near, owner = cKDTree(points, boxsize=SIZE).query(np.stack([x.ravel(), y.ravel()], 1), k=2)
    return points, near.reshape(SIZE, SIZE, 2), owner[:, 0].reshape(SIZE, SIZE)


def _palette(rng: np.random.Generator) -> np.ndarray:
    """A ramp through three or four related colours, (256, 3) float32 in 0..255."""
    count = int(rng.integers(3, 5))
    hue = (rng.uniform(0, 180) + rng.normal(0, rng.choice([8, 30, 70]), count)) % 180
    saturation = np.clip(rng.uniform(20, 200) + rng.normal(0, 40, count), 0, 255)
    value = rng.permutation(np.linspace(rng.uniform(20, 90), rng.uniform(150, 250), count))
    if rng.random() < 0.6:
        value = np.sort(value)
    hsv = np.stack([hue, saturation, value], 1).astype(np.uint8)
    colours = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.float32)
    ramp = cv2.resize(colours[:, None], (1, 256), interpolation=cv2.INTER_LINEAR)
    return ramp[:, 0]
