"""Reading video files and cameras."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import READERS
from ..utils.errors import DataError
from ..utils.video_decoding import OpenCVDecoder, open_decoder
from ..utils.video_frames import by_time, in_order
from .readers import Frame, FrameReader


@READERS.register_module()
class VideoReader(FrameReader):
    """A video file, read by OpenCV, or by PyAV where OpenCV has no decoder for it.

    Frames are numbered in their order. Where the times of the frames and the packets of the file tell that some are
    missing, or the decoder that it had to guess, an error ends the video after the frames before.

    Args:
        path: the file.
        by_time: frames are numbered by their times, so that those behind a gap keep their numbers; damage is no error
            but gets a word of warning.

    Raises:
        DataError: the file is missing, cannot be decoded or has no frame; or, after the last frame that could be
            read, that frames are missing or damaged, or that more should follow (the file is cut short).
    """

    def __init__(self, path: str | Path, by_time: bool = False):
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"video not found: {path}")
        if not self.path.stat().st_size:
            raise DataError(f"{path}: the file is empty")
        self.by_time = by_time
        self.decoder = open_decoder(self.path)
        self.num_frames, self.fps, self.size = self.decoder.num_frames, self.decoder.fps, self.decoder.size

    def __iter__(self) -> Iterator[Frame]:
        if self.by_time:
            for number, time, image in by_time(self.path, self.decoder):
                yield Frame(number, f"{number:05d}", image, time)
        else:
            for number, (time, image) in enumerate(in_order(self.path, self.decoder)):
                yield Frame(number, f"{number:05d}", image, time)

    def close(self) -> None:
        """Close the file."""
        self.decoder.close()


@READERS.register_module()
class CameraReader(FrameReader):
    """A camera of this machine.

    Args:
        index: number of the camera, from 0.
        max_frames: stop after so many frames; None goes on until the camera stops.

    Raises:
        DataError: the camera cannot be opened.
    """

    def __init__(self, index: int = 0, max_frames: int | None = None):
        self.index = int(index)
        self.max_frames = max_frames
        self.decoder = OpenCVDecoder(self.index)
        if not self.decoder.is_open():
            raise DataError(f"camera {index} cannot be opened: is it connected, and is this the right number?")
        self.fps, self.size = self.decoder.fps, self.decoder.size

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.decoder.images()):
            if self.max_frames is not None and index >= self.max_frames:
                return
            yield Frame(index, f"{index:05d}", image)

    def close(self) -> None:
        """Release the camera."""
        self.decoder.close()
