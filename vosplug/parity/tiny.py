"""Manifests in one small file: a clip made by a rule, packed names of weights, samples of every output."""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..utils.errors import DataError
from .compare import Row, compare

SAMPLES = 16  # numbers that are stored of a real tensor, beside its mean and its root mean square
DIGITS = 9
FEW = 64  # integers up to which a tensor is written out


def made_clip(frames: int, size: tuple[int, int], objects: int) -> dict[str, np.ndarray]:
    """A clip that is the same on every machine: stripes that drift, and a coloured box of each object that moves.

    Args:
        frames: T.
        size: (H, W).
        objects: N, side by side.

    Returns:
        ``frames`` (T, H, W, 3) uint8 and ``mask`` with N at its end, (H, W) uint8 ids of frame 0.
    """
    height, width = size
    t, y, x, c = np.ogrid[:frames, :height, :width, :3]
    clip = (3 * x + 5 * y + (x * y) // (7 + c) + 9 * t * (c + 1) + 40 * c) % 200
    mask = np.zeros(size, np.uint8)
    for number in range(objects):
        rows = slice(height // 5, height * 4 // 5 - 2 * number)
        left = (number + 1) * width // (objects + 1) - width // 6
        mask[rows, left : left + width // 4] = number + 1
        for step in range(frames):
            colour = 60 + (90 * number + np.arange(3) * 70 + clip[step, rows, left : left + width // 4] // 4) % 190
            clip[step, rows, left + step : left + step + width // 4] = colour[:, : max(0, width - left - step)]
    return {"frames": clip.astype(np.uint8), f"mask{objects}": mask}


def packed(value: Any) -> str:
    """Something that JSON knows, as short text."""
    return base64.b85encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 9)).decode()


def unpacked(text: str, where: str) -> Any:
    """What :func:`packed` made text of.

    Raises:
        DataError: the text is damaged.
    """
    try:
        return json.loads(zlib.decompress(base64.b85decode(text)))
    except (ValueError, zlib.error) as error:
        raise DataError(f"{where} is damaged: {error}") from error


def numbers(value: np.ndarray) -> np.ndarray:
    """What stands for a tensor: integers as they are, of real ones some, the mean and the root mean square."""
    if value.dtype.kind in "iub":
        return value
    flat = value.astype(np.float64).ravel()
    chosen = flat[np.arange(min(SAMPLES, flat.size)) * flat.size // max(1, min(SAMPLES, flat.size))]
    if not flat.size:
        return flat
    return np.array([*chosen, flat.mean(), np.sqrt(np.mean(flat**2))])


def described(value: np.ndarray) -> dict[str, Any]:
    """A tensor as a manifest holds it."""
    entry: dict[str, Any] = {"shape": list(value.shape)}
    kept = numbers(value)
    if value.dtype.kind in "iub":
        entry["dtype"] = str(value.dtype)
        return {**entry, "values": kept.ravel().tolist()} if kept.size <= FEW else {
            **entry, "packed": packed(kept.ravel().tolist())}
    return {**entry, "values": [float(f"{x:.{DIGITS}g}") for x in kept]}


def stored(entry: Mapping[str, Any], where: str) -> np.ndarray:
    """What a manifest holds of a tensor, to be compared with :func:`numbers` of ours."""
    values = unpacked(entry["packed"], where) if "packed" in entry else entry["values"]
    if "dtype" in entry:
        return np.array(values, entry["dtype"]).reshape(entry["shape"])
    return np.array(values, np.float64)


def compare_numbers(name: str, ours: Any, entry: Mapping[str, Any], expected: np.ndarray,
                    tolerance: dict[str, Any]) -> Row:
    """Compare a tensor of ours with what a manifest holds of it; the row has the shape of the tensor.

    Args:
        name: of the tensor.
        ours: what was computed, None if nothing was.
        entry: of the manifest.
        expected: what :func:`stored` made of it.
        tolerance: as for :func:`~.compare.compare`.
    """
    if ours is None:
        return compare(name, None, expected, tolerance)
    ours = np.asarray(ours)
    if list(ours.shape) != entry["shape"]:
        return Row(name, ours.shape, np.nan, np.nan, f"shape {ours.shape}, expected {tuple(entry['shape'])}")
    return replace(compare(name, numbers(ours), expected, tolerance), shape=ours.shape)
