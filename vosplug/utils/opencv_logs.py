"""Silencing OpenCV."""

import contextlib
import threading
from collections.abc import Iterator

import cv2

from .decoder_messages import Messages, decoder_messages

_lock = threading.Lock()
_users = 0
_before = 0


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV, but not the decoders in it, from printing what is raised as an error anyway, for all threads."""
    global _users, _before
    # Where these two functions live, and whether they exist, depends on the version of OpenCV.
    place = next((x for x in (cv2, getattr(cv2.utils, "logging", None)) if hasattr(x, "setLogLevel")), None)
    if place is None:
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _before = place.getLogLevel()
            place.setLogLevel(0)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                place.setLogLevel(_before)


@contextlib.contextmanager
def quiet_video() -> Iterator[Messages]:
    """Keep OpenCV and its FFmpeg from printing; what FFmpeg said is in the list afterwards.

    With the variable ``OPENCV_FFMPEG_LOGLEVEL`` it is printed elsewhere, and cannot be heard.
    """
    with decoder_messages() as messages, quiet_opencv():
        yield messages
