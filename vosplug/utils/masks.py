"""Label masks on disk: reading what is unambiguous, writing with the DAVIS palette."""

import io
import os
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .errors import DataError, InputError
from .files import atomic_write
from .mask_files import MaskFile, open_mask
from .mask_kinds import background_index, grey_foreground, looks_smoothed, looks_stretched, present
from .notices import warn

MAX_OBJECTS = 254
VOID = 255
_MOST_COLOUR = 8  # difference of the channels of what still is grey


def davis_palette() -> np.ndarray:
    """Return DAVIS's (256, 3) uint8 colours: bit ``b`` of an id sets bit ``7 - b // 3`` of channel ``b % 3``."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        colours[:, bit % 3] |= (ids >> bit & 1) << (7 - bit // 3)
    return colours.astype(np.uint8)


DAVIS_PALETTE = davis_palette()


def read_mask(path: str | os.PathLike, *, binary: bool = False, max_id: int = VOID,
              ids: Collection[int] = ()) -> np.ndarray:
    """Read a mask. All of vosplug reads masks here.

    Args:
        path: a palette or grey PNG of at most 8 bits whose values are object ids.
        binary: read a foreground mask as 0 and 1, see :func:`read_foreground`.
        max_id: the largest id that is allowed (255 means that void is allowed).
        ids: of the objects that there are, for a prediction: one that has no others may have slivers of any shape.

    Returns:
        Ids, (H, W) uint8, possibly read-only.

    Raises:
        DataError: the file is missing or damaged, a picture in colour or of 16 bits, has an id above ``max_id``, or its
            values do not look like ids: smoothed, compressed, or stretched over the range of grey.
    """
    file = open_mask(Path(path))
    if binary:
        return read_foreground(file)
    if not file.has_indices:
        _refuse_colour(file)
    labels = file.values
    values = present(labels)
    found = [value for value in values if value != VOID or max_id != VOID]
    if found and found[-1] > max_id:
        raise DataError(f"{path}: id {found[-1]} is above the limit {max_id}")
    kind = "palette" if file.palette is not None else "grey"
    if file.lossy or (not {0, *ids}.issuperset(values) and looks_smoothed(labels, values)):
        raise DataError(f"{path}: a {kind} mask with {len(values)} different values looks smoothed, not like object "
                        "ids; save masks without interpolation or JPEG compression")
    if kind == "grey" and looks_stretched(values, labels):
        raise DataError(f"{path}: the grey values {', '.join(map(str, values[1:]))} look like ids that were stretched "
                        "over the range of grey; save the ids themselves (1, 2, ...), and 255 only for void")
    if file.palette is not None and background_index(labels, file.palette) is not None:
        warn(f"{file.path.parent}: in palette masks there, index 0 is not black but another index is; index 0 counts "
             "as background, whatever its colour")
    return labels


def read_foreground(file: MaskFile) -> np.ndarray:
    """A mask of one foreground as (H, W) uint8 of 0 and 1.

    Grey masks may have soft edges, which are cut at half of the range, or ids, all of which are foreground. In a
    palette the colours decide: black is background if index 0 is not; grey palettes are read as grey.

    Raises:
        DataError: a coloured picture, or one of 16 bits.
    """
    if file.values.ndim == 3:
        if (np.ptp(file.values.astype(np.int16), axis=2) > _MOST_COLOUR).any():
            raise DataError(f"{file.path}: a coloured picture ({file.mode}) where a mask in black and white, a palette "
                            "or a grey PNG is expected")
        return grey_foreground(np.ascontiguousarray(file.values[..., 0]))
    if not file.has_indices:
        _refuse_colour(file)
    if file.palette is None or not len(file.palette):
        return grey_foreground(file.values)
    colours = file.palette[[value for value in present(file.values) if value < len(file.palette)]]
    if (colours == colours[:, :1]).all():
        table = np.zeros(256, np.uint8)
        table[:len(file.palette)] = file.palette[:, 0]
        return grey_foreground(table[file.values])
    background = background_index(file.values, file.palette)
    return (file.values != (background or 0)).view(np.uint8)


def read_first_mask(path: str | os.PathLike, *, binary: bool = False) -> np.ndarray:
    """As :func:`read_mask`, of a mask that starts objects: several without any background get a word of warning."""
    labels = read_mask(path, binary=binary)
    if labels.size and labels.min() > 0 and len(present(labels)) > 1:
        warn(f"{path}: the mask has no background (id 0): every pixel belongs to an object")
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


def _refuse_colour(file: MaskFile) -> None:
    if file.values.ndim == 3:
        raise DataError(f"{file.path}: a mask must be a palette or grey PNG whose pixel values are object ids, this is "
                        f"a {file.mode} picture; convert it (colours alone do not say which id is which)")
    raise DataError(f"{file.path}: a mask must have 8 bits per pixel, this one has mode {file.mode}")
