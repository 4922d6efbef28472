"""Choosing a reader or a writer by what is given."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..registry import READERS, WRITERS
from ..utils.errors import DataError, InputError
from ..utils.images import IMAGE_SUFFIXES
from ..utils.listing import number_of
from .prefetch import PrefetchReader
from .readers import FolderReader, FrameReader, IterableReader
from .video_reader import CameraReader, VideoReader
from .video_writer import SUFFIXES, OverlayVideoWriter
from .writers import FrameWriter, MaskFolderWriter, RleJsonWriter, Writer


def open_reader(source: Any, *, prefetch: int = 4, by_time: bool = False) -> FrameReader:
    """Open a source of frames.

    Args:
        source: path of a video file or of a folder of images, number of a camera (``0`` or ``"0"``), an iterable of
            pictures (H, W, 3) uint8 RGB or of pairs (name, picture), a reader, or its config (a dict with ``type``).
        prefetch: frames to read ahead; 0 reads in the calling thread.
        by_time: of a video file, see :class:`VideoReader`.

    Raises:
        DataError: the source is missing, unreadable or empty.
        InputError: no reader takes such a source.
    """
    reader = choose_reader(source, by_time)
    return PrefetchReader(reader, prefetch) if prefetch and not isinstance(reader, PrefetchReader) else reader


def choose_reader(source: Any, by_time: bool = False) -> FrameReader:
    """As :func:`open_reader`, without reading ahead."""
    if by_time and not (isinstance(source, (str, Path)) and Path(source).is_file()):
        raise InputError("only the frames of a video file can be numbered by time")
    if isinstance(source, FrameReader):
        return source
    if isinstance(source, dict):
        return READERS.build(source)
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return CameraReader(int(source))
    if isinstance(source, (str, Path)):
        return open_path(str(source), by_time)
    if isinstance(source, Iterable):
        return IterableReader(source)
    raise InputError(f"cannot read frames from {type(source).__name__}: give a video file, a folder of images, the "
                     "number of a camera, or an iterable of pictures")


def open_path(text: str, by_time: bool = False) -> FrameReader:
    """Reader of a path, or of a camera if the text is a number that is no path."""
    path = Path(text)
    if path.is_dir():
        return FolderReader(path)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise InputError(f"{text} is a single image: give a video, or the folder of its frames")
        return VideoReader(path, by_time)
    if text.isascii() and number_of(text) is not None:
        return CameraReader(int(text))
    raise DataError(f"input not found: {text} (expected a video file, a folder of images, or the number of a camera)")


def open_writer(out: Any, *, fps: float | None = None) -> FrameWriter:
    """Open an output.

    Args:
        out: a path: ``.mp4`` (or another suffix of a video) for an overlay video, ``.json`` for run-length codes, a
            folder for palette PNGs; or a writer, or its config (a dict with ``type``).
        fps: frame rate of an overlay video.

    Raises:
        OutputError: it cannot be written.
        InputError: the suffix says nothing.
    """
    if isinstance(out, FrameWriter):
        return out
    if isinstance(out, dict):
        return WRITERS.build(out)
    return writer_for(Path(out), fps, video=OverlayVideoWriter, json=RleJsonWriter, folder=MaskFolderWriter)


def writer_for(out: Path, fps: float | None, *, video: Callable[..., Writer], json: Callable[..., Writer],
               folder: Callable[..., Writer]) -> Any:
    """The writer that the suffix of a path asks for; :class:`InputError` if a path for a folder looks like a file."""
    suffix = out.suffix.lower()
    if suffix in SUFFIXES:
        return video(out, fps=fps)
    if suffix == ".json":
        return json(out)
    if suffix in (".png", ".jpg", ".jpeg", ".webm", ".gif", ".zip", ".txt", ".webp", ".npy"):
        raise InputError(f"output {out}: give a folder (palette PNGs), a video ({', '.join(SUFFIXES)}) or .json")
    return folder(out)
