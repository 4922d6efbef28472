"""A JSON file of frames that is written as a video goes on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.errors import OutputError
from ..utils.files import atomic_write
from .readers import Frame


class FrameJsonFile:
    """``{"frames": [{"index": 0, "name": "00000", "size": [H, W], "objects": {id: run lengths}}, ...], ...}``.

    Frames go to the disk when they come, and the file appears under its name when it is closed: so a video of any
    length needs no memory.

    Args:
        out: the file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, out: str | Path):
        self.out = Path(out)
        self._context = atomic_write(self.out)
        self._stream = self._context.__enter__()
        self._count = 0
        self._put('{"frames": [')

    def add(self, frame: Frame, size: Sequence[int], objects: Mapping[str, Any]) -> None:
        """Append a frame of ``size`` (H, W) with the run lengths of its objects."""
        record = {"index": frame.index, "name": frame.name, "size": list(size), "objects": objects}
        self._put((",\n" if self._count else "\n") + json.dumps(record))
        self._count += 1

    def close(self, **more: Any) -> None:
        """Add ``more`` beside the frames, finish the file and move it to its place. Closing twice does no harm.

        Without any frame there is no file, and what an earlier run left in its place stays.
        """
        if self._stream is None:
            return
        if not self._count:
            self._stream, nothing = None, OutputError(f"{self.out}: no frame was written")
            self._context.__exit__(OutputError, nothing, None)
            return
        self._put("\n]" + "".join(f",\n{json.dumps(key)}: {json.dumps(value)}" for key, value in more.items()) + "}\n")
        self._stream = None
        self._context.__exit__(None, None, None)

    def _put(self, text: str) -> None:
        if self._stream is None:
            raise OutputError(f"{self.out} is closed: nothing can be added")
        try:
            self._stream.write(text.encode())
        except OSError as error:
            self._stream = None
            self._context.__exit__(type(error), error, error.__traceback__)
