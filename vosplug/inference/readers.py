"""Sources of frames: folders of pictures, data sets and anything that can be iterated over."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..registry import READERS
from ..structures import Video
from ..utils.errors import DataError
from ..utils.images import read_image
from ..utils.listing import pictures_in
from ..utils.names import check_names, folded


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        index: position in the video, from 0.
        name: name of the frame: that of its file without suffix, or the index with five digits.
        image: (H, W, 3) uint8 RGB.
        time: seconds from the beginning of the video at which it is shown, where that is known.

    Raises:
        DataError: the name cannot name a file of the results.
    """

    index: int
    name: str
    image: np.ndarray
    time: float | None = None

    def __post_init__(self):
        check_names((self.name,), f"frame {self.index}")


class FrameReader(ABC):
    """An iterator over the frames of one video, read one after the other; also a context manager.

    Attributes:
        num_frames: number of frames, or None where it is not known beforehand (it may be an estimate for video files).
        fps: frames per second, or None.
        size: (H, W), or None where it is not known before the first frame.
        named: frames have names of their own (files), not just numbers.
        names: names of all frames in order, where they are known beforehand.
        path: file or folder that is read, if there is one.
        complete: the source is read to its end, unless an error ends it.
    """

    num_frames: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    named: bool = False
    names: Sequence[str] | None = None
    path: Path | None = None
    complete: bool = True

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in order; raises :class:`DataError` at a frame that cannot be read."""

    def close(self) -> None:  # noqa: B027 (a reader that holds nothing open leaves it out)
        """Release files and devices. Closing twice does no harm."""

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()


@READERS.register_module()
class FolderReader(FrameReader):
    """The pictures of a folder, sorted by name (numbers by value).

    Args:
        path: the folder.
        fps: frame rate to report.

    Raises:
        DataError: there is no such folder, it has no picture, or two have one name; see
            :func:`~vosplug.utils.listing.pictures_in`.
    """

    named = True

    def __init__(self, path: str | Path, fps: float = 24.0):
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f"folder of images not found: {path}")
        self.files = pictures_in(self.path)
        self.names = [p.stem for p in self.files]
        self.num_frames = len(self.files)
        self.fps = fps

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.files):
            yield Frame(index, path.stem, read_image(path))


class DatasetVideoReader(FrameReader):
    """The frames of a :class:`Video`, from ``start`` up to, not including, ``stop``; indices are those of the video."""

    named = True

    def __init__(self, video: Video, start: int = 0, stop: int | None = None):
        self.video = video
        self.range = range(start, len(video) if stop is None else stop)
        self.num_frames = len(self.range)

    def __iter__(self) -> Iterator[Frame]:
        for index in self.range:
            yield Frame(index, self.video.frame_name(index), self.video.read_frame(index))


@READERS.register_module()
class IterableReader(FrameReader):
    """Any iterable of pictures.

    Args:
        frames: pictures (H, W, 3) uint8 RGB, or pairs (name, picture).
        fps: frame rate to report.

    Raises:
        DataError: while it is read: a name comes twice, or differs from an earlier one by upper and lower case only.
    """

    def __init__(self, frames: Iterable[Any], fps: float | None = None):
        self.frames = frames
        self.num_frames = len(frames) if hasattr(frames, "__len__") else None
        self.fps = fps

    def __iter__(self) -> Iterator[Frame]:
        known: dict[str, str] = {}
        for index, item in enumerate(self.frames):
            name, image = item if isinstance(item, tuple) else (f"{index:05d}", item)
            known.setdefault(folded(str(name)), str(name))
            if len(known) <= index:
                raise DataError(f"frame {index}: the name {name!r} was that of an earlier frame (upper and lower case "
                                "do not count), whose results would be overwritten")
            yield Frame(index, str(name), np.asarray(image))


class LimitedReader(FrameReader):
    """The first ``max_frames`` frames of another reader, which is closed with this one."""

    complete = False

    def __init__(self, reader: FrameReader, max_frames: int):
        self.reader = reader
        self.max_frames = max_frames
        known = reader.num_frames
        self.num_frames = max_frames if known is None else min(known, max_frames)
        self.fps, self.size, self.named, self.path = reader.fps, reader.size, reader.named, reader.path

    def __iter__(self) -> Iterator[Frame]:
        return itertools.islice(iter(self.reader), self.max_frames)

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()
