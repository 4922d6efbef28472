"""Reading and writing pictures as RGB arrays."""

import io
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .containers import MAX_PIXELS, Header, check_container, read_bytes
from .decoder_messages import decoder_messages
from .errors import DataError, OutputError
from .files import atomic_write
from .notices import warn
from .opencv_logs import quiet_opencv

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
REDUCTIONS = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4,
              8: cv2.IMREAD_REDUCED_COLOR_8}
"""Part of the size at which a picture is decoded -> flag of OpenCV."""
_DARK = 2**14


def read_image(path: str | os.PathLike, reduction: int = 1) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB, turned upright as its EXIF says.

    Args:
        path: the file.
        reduction: 2, 4 or 8 decodes a JPEG at that part of its size; other formats are decoded in full.

    Raises:
        DataError: the file is missing, damaged or cut short.
    """
    path = Path(path)
    data = read_bytes(path)
    header = check_container(data, path)
    if header.format != "jpeg":
        reduction = 1
    if not header.format:
        _open_header(data, path)  # its size, which no decoder may find out by making room for it
    image = _decode(data, path, REDUCTIONS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION, header)
    if header.depth == 16:
        _warn_if_dark(data, path)
    return upright(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), header.orientation)


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """(H, W) of what :func:`read_image` returns, from the header alone.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = Path(path)
    data = read_bytes(path)
    return check_container(data, path).size or _open_header(data, path)


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) pixels as EXIF's orientation (1 to 8) says."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to ``size`` (h, w): by area when it shrinks, bilinearly when it grows."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def write_image(path: str | os.PathLike, image: np.ndarray, quality: int = 92) -> None:
    """Write (H, W, 3) uint8 RGB atomically; the format follows the suffix.

    Raises:
        OutputError: the suffix names no known format, or the file cannot be written.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if Path(path).suffix.lower() in (".jpg", ".jpeg") else []
    if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(f"cannot write {path}: the suffix must be one of {', '.join(IMAGE_SUFFIXES)}")
    done, data = cv2.imencode(Path(path).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OutputError(f"cannot write {path}: the image could not be encoded")
    with atomic_write(path) as stream:
        stream.write(data.tobytes())


def heard(header: Header) -> AbstractContextManager[list[str]]:
    """Within, the messages of the decoder of a JPEG are heard; other decoders have nothing to say."""
    return decoder_messages() if header.format == "jpeg" else nullcontext([])


def _decode(data: bytes, path: Path, flags: int, header: Header) -> np.ndarray:
    """Pixels in OpenCV's order of channels; what libjpeg warns of is an error."""
    try:
        with heard(header) as messages, quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise DataError(f"{path}: not a readable image ({error.err or error})") from error
    if image is None:
        raise DataError(f"{path}: not a readable image")
    if messages:
        raise DataError(f"{path}: the JPEG file is damaged or cut short ({messages})")
    return image


def _open_header(data: bytes, path: Path) -> tuple[int, int]:
    """(H, W) by Pillow, of a format that :func:`check_container` does not know."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            size = image.height, image.width
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable image") from error
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(f"{path}: not a readable image: {size[1]} x {size[0]} pixels are more than are read")
    return size


def _warn_if_dark(data: bytes, path: Path) -> None:
    """Say so where 16-bit values leave the upper bits unused, as 10, 12 or 14 bits of a camera do."""
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is not None and 0 < deep.max() < _DARK:
        warn(f"{path.parent}: 16-bit pictures there leave the upper bits unused, so they are read as nearly black: "
             "values of 10, 12 or 14 bits have to be scaled up to 16")
