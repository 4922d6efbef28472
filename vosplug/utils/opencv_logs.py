"""Silencing OpenCV."""

import contextlib
import os
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from printing what is raised as an error anyway."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Where these two functions live, and whether they exist, depends on the version of OpenCV.
    place = next((x for x in (cv2, getattr(cv2.utils, "logging", None)) if hasattr(x, "setLogLevel")), None)
    before = place.getLogLevel() if place is not None else 0
    if place is not None:
        place.setLogLevel(0)
    try:
        yield
    finally:
        if place is not None:
            place.setLogLevel(before)
