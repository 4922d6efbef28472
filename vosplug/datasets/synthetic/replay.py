"""Cheap variations of a clip that exists already."""

import cv2
import numpy as np

from .video import SyntheticClip


def varied(clip: SyntheticClip, rng: np.random.Generator, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Flip, transpose, reverse in time, permute channels, invert and re-expose a clip at random.

    Args:
        clip: left as it is.
        rng: source of the random numbers.
        least: pixels that make an object visible; time is reversed only if some object is visible in the last frame.

    Returns:
        Frames (T, H, W, 3) uint8 and labels (T, H, W) uint8.
    """
    frames, labels = clip.frames, clip.labels
    reverse, across, down, turn = rng.random(4) < (0.5, 0.5, 0.1, 0.1)
    if reverse and np.bincount(labels[-1].ravel(), minlength=256)[1:].max() >= least:
        frames, labels = frames[::-1], labels[::-1]
    if across:
        frames, labels = frames[:, :, ::-1], labels[:, :, ::-1]
    if down:
        frames, labels = frames[:, ::-1], labels[:, ::-1]
    if turn and frames.shape[1] == frames.shape[2]:
        frames, labels = frames.swapaxes(1, 2), labels.swapaxes(1, 2)
    return _recoloured(frames, rng), np.ascontiguousarray(labels)


def _recoloured(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    levels = np.arange(256)[:, None] / 255 ** np.ones(3)
    levels = levels ** np.exp(rng.uniform(-0.25, 0.25, 3))
    if rng.random() < 0.2:
        levels = 1 - levels
    table = (levels - 0.5) * np.exp(rng.uniform(-0.2, 0.2, 3)) + 0.5 + rng.uniform(-0.06, 0.06)
    table = np.clip(np.rint(table * 255), 0, 255).astype(np.uint8)[None]
    shape = frames.shape
    flat = np.ascontiguousarray(frames[..., order]).reshape(shape[0] * shape[1], shape[2], 3)
    return cv2.LUT(flat, table).reshape(shape)
