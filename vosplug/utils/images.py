"""Reading and writing pictures as RGB arrays."""

import os
from pathlib import Path

import cv2
import numpy as np

from .errors import DataError, OutputError
from .files import atomic_write
from .opencv_logs import quiet_opencv

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, damaged or cut short.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"image not found or unreadable: {path} ({error.strerror})") from error
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-64:]:
        raise DataError(f"{path}: the JPEG file is cut short (no end marker)")
    if data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]:
        raise DataError(f"{path}: the PNG file is cut short (no end marker)")
    try:
        with quiet_opencv():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise DataError(f"{path}: not a readable image ({error.err or error})") from error
    if image is None:
        raise DataError(f"{path}: not a readable image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
