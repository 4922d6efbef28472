"""Reading ahead in a thread."""

import contextlib
import queue
import threading
from collections.abc import Iterator

from ..utils.errors import InputError
from .readers import Frame, FrameReader

END = object()


class PrefetchReader(FrameReader):
    """Reads another reader ahead, a few frames at most, in a background thread.

    An exception of the reader is raised after the frames that were read before it. Leaving the loop early or closing
    ends the thread.

    Args:
        reader: the reader; it is closed with this one.
        depth: number of frames that may wait.
    """

    def __init__(self, reader: FrameReader, depth: int = 4):
        if depth < 1:
            raise InputError(f"the number of frames to read ahead must be at least 1, got {depth}")
        self.reader = reader
        self.depth = depth
        for name in ("num_frames", "fps", "size", "named", "names", "path", "complete"):
            setattr(self, name, getattr(reader, name))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Frame]:
        self._halt()
        frames: queue.Queue = queue.Queue(self.depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(frames, self._stop), daemon=True,
                                        name="vosplug-prefetch")
        self._thread.start()
        try:
            while True:
                item = frames.get()
                if item is END:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._halt()

    def close(self) -> None:
        """End the thread, then close the reader."""
        self._halt()
        self.reader.close()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def _read(self, frames: queue.Queue, stop: threading.Event) -> None:
        try:
            for frame in self.reader:
                if not put(frames, frame, stop):
                    return
            put(frames, END, stop)
        except BaseException as error:
            put(frames, error, stop)


def put(frames: queue.Queue, item: object, stop: threading.Event) -> bool:
    """Put an item, waiting for room; False if ``stop`` was set meanwhile."""
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            frames.put(item, timeout=0.05)
            return True
    return False
