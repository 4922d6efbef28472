"""Label masks on disk: reading what is unambiguous, writing with the DAVIS palette."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import DataError, InputError
from .files import atomic_write

MAX_OBJECTS = 254
VOID = 255


def davis_palette() -> np.ndarray:
    """Return DAVIS's (256, 3) uint8 colours: bit ``b`` of an id sets bit ``7 - b // 3`` of channel ``b % 3``."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        colours[:, bit % 3] |= (ids >> bit & 1) << (7 - bit // 3)
    return colours.astype(np.uint8)


DAVIS_PALETTE = davis_palette()


def read_mask(path: str | os.PathLike, *, binary: bool = False, max_id: int = VOID) -> np.ndarray:
    """Read a label mask.

    Args:
        path: a palette or 8-bit grey PNG whose pixel values are object ids.
        binary: read a foreground mask: every value above 127 becomes 1, and values between the extremes are allowed
            (smoothed edges of matting-like data sets). A palette or 0/1 mask is accepted too.
        max_id: the largest id that is allowed (255 means that void is allowed).

    Returns:
        Ids, (H, W) uint8.

    Raises:
        DataError: the file is missing, damaged, an RGB picture, 16-bit, has an id above ``max_id``, or is a smoothed
            grey mask (more than 32 different grey values) where ids are expected.
    """
    path = Path(path)
    image = _open(path)
    if image.mode in ("RGB", "RGBA", "CMYK", "LA", "YCbCr"):
        raise DataError(f"{path}: a mask must be a palette or grey PNG whose pixel values are object ids, "
                        f"this is a {image.mode} picture; convert it (colours alone do not say which id is which)")
    if image.mode not in ("P", "L", "1"):
        raise DataError(f"{path}: a mask must have 8 bits per pixel, this one has mode {image.mode}")
    labels = np.array(image).astype(np.uint8)
    if binary:
        return _binarise(labels, image.mode)
    values = np.unique(labels)
    if image.mode == "L" and len(values) > 32:
        raise DataError(f"{path}: a grey mask with {len(values)} different values looks smoothed, not like object ids; "
                        "save masks without interpolation or JPEG compression")
    ids = values[values != VOID] if max_id == VOID else values
    if len(ids) and ids[-1] > max_id:
        raise DataError(f"{path}: id {ids[-1]} is above the limit {max_id}")
    return labels


def write_mask(path: str | os.PathLike, labels: np.ndarray) -> None:
    """Write (H, W) ids in 0..255 as an index PNG with the DAVIS palette, atomically."""
    with atomic_write(path) as stream:
        stream.write(encode_mask(labels))


def encode_mask(labels: np.ndarray) -> bytes:
    """Return (H, W) ids in 0..255 as the bytes of an index PNG with the DAVIS palette."""
    if labels.ndim != 2:
        raise InputError(f"a mask must be (H, W), got shape {tuple(labels.shape)}")
    if labels.size and (labels.min() < 0 or labels.max() > 255):
        raise InputError(f"ids must lie in 0..255, got {labels.min()}..{labels.max()}")
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint8), mode="P")
    image.putpalette(DAVIS_PALETTE.ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def object_ids(labels: np.ndarray) -> list[int]:
    """Sorted ids in ``labels`` without background (0) and void (255)."""
    return [int(i) for i in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)) if i not in (0, VOID)]


def nearest_exact(length: int, wanted: int) -> np.ndarray:
    """Which of ``length`` pixels in a row is nearest to the centre of each of ``wanted`` pixels, (wanted,) int64.

    They are those of OpenCV's ``INTER_NEAREST_EXACT``, which counts in steps of 1/65536 of a pixel.
    """
    row = np.arange(length, dtype=np.float32)[None]
    return cv2.resize(row, (wanted, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0].astype(np.int64)


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) labels to ``size`` (h, w) by the nearest neighbour."""
    if labels.shape == tuple(size):
        return labels
    rows, columns = (nearest_exact(*sides) for sides in zip(labels.shape, size, strict=True))
    return labels[rows[:, None], columns]


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
        return image
    except FileNotFoundError as error:
        raise DataError(f"mask not found: {path}") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable image ({error})") from error


def _binarise(labels: np.ndarray, mode: str) -> np.ndarray:
    if mode in ("P", "1") or labels.max(initial=0) <= 1:
        return (labels > 0).astype(np.uint8)
    return (labels > 127).astype(np.uint8)
