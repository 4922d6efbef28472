"""Where the masks that start objects come from."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import DataError, InputError, did_you_mean
from ..utils.masks import object_ids, read_mask
from .readers import Frame, natural_key

LOGGER = logging.getLogger("vosplug")
KNOWN_IDS = ("refuse", "skip", "correct")


class MaskSource:
    """Gives the mask of a frame, or None.

    Args:
        source: one mask (path of a PNG, or an array (H, W)) for the first frame; a folder of PNGs named like their
            frames; a dict whose keys are indices (int) or names (str) of frames and whose values are paths or arrays.
        binary: masks are 0/255 foreground masks: they become object 1.
        known_ids: what to do with ids that are tracked already: ``refuse`` them (InputError), ``skip`` them, for
            folders in which every mask shows all objects, or ``correct`` them: the masks replace what was predicted.

    Attributes:
        corrects: ids that are tracked are corrected.

    Raises:
        DataError: a file or folder is missing or has no masks.
        InputError: the source is of another type, or ``known_ids`` is unknown.
    """

    def __init__(self, source: Any, *, binary: bool = False, known_ids: str = "refuse"):
        if known_ids not in KNOWN_IDS:
            raise InputError(f"known_ids must be one of {', '.join(KNOWN_IDS)}, got {known_ids!r}")
        self.binary = binary
        self.skip_known = known_ids == "skip"
        self.corrects = known_ids == "correct"
        self.masks = as_dict(source)
        self.used: set = set()

    def get(self, frame: Frame, tracked: Iterable[int], *, named: bool) -> tuple[np.ndarray, list[int] | None] | None:
        """Mask and ids that start at ``frame``, or None.

        Args:
            frame: the frame.
            tracked: ids that are tracked already.
            named: frames have names of their own; otherwise a name that is a number stands for an index.

        Raises:
            DataError: the mask is unreadable.
        """
        key = self._key(frame, named)
        if key is None:
            return None
        self.used.add(key)
        value = self.masks[key]
        labels = read_mask(value, binary=self.binary) if isinstance(value, (str, Path)) else np.asarray(value)
        if not self.skip_known:
            return labels, None
        known = set(tracked)
        new = [i for i in object_ids(labels) if i not in known]
        return (labels, new) if new or not known else None

    def check_frames(self, names: Sequence[str]) -> None:
        """Raise :class:`DataError` if a mask belongs to none of the frames ``names``."""
        known = {*names, *range(len(names))}
        strange = [key for key in self.masks if key not in known]
        if strange:
            raise DataError(f"there is no frame for the mask {self._text(strange[0])}: the frames of the input are "
                            f"{names[0]} .. {names[-1]}.{did_you_mean(str(strange[0]), names)}")

    def refuse_unused(self, frames: int) -> None:
        """Raise :class:`DataError` if a mask had no frame in an input of so many ``frames``."""
        unused = [key for key in self.masks if key not in self.used]
        if unused:
            raise DataError(f"there was no frame for the mask {self._text(unused[0])}: the input has {frames} frames; "
                            "the result is complete without it")

    def warn_unused(self) -> None:
        """Log masks whose frame did not come."""
        for key in self.masks:
            if key not in self.used:
                LOGGER.warning("the mask for frame %s was not used: the input has no such frame", key)

    def _text(self, key: int | str) -> str:
        value = self.masks[key]
        return str(value) if isinstance(value, (str, Path)) else f"of frame {key}"

    def _key(self, frame: Frame, named: bool) -> int | str | None:
        for key in (frame.index, frame.name):
            if key in self.masks:
                return key
        if named:
            return None
        return next((k for k in self.masks if isinstance(k, str) and k.isdigit() and int(k) == frame.index), None)


def as_dict(source: Any) -> Mapping[int | str, Any]:
    """Frame index or name -> path or array."""
    if isinstance(source, Mapping):
        return check_mapping(source)
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            files = sorted((p for p in path.glob("*.png") if not p.name.startswith(".")), key=natural_key)
            if not files:
                raise DataError(f"{path} has no masks (PNG files named like their frames)")
            return {p.stem: p for p in files}
        if not path.is_file():
            raise DataError(f"mask not found: {path}")
        return {0: path}
    if hasattr(source, "__array__"):
        return {0: source}
    raise InputError(f"masks must be a PNG, a folder of PNGs, an array (H, W), or a dict by frame, "
                     f"got {type(source).__name__}")


def check_mapping(source: Mapping) -> Mapping[int | str, Any]:
    """Return masks by frame, or raise: files have to exist, so that a slip shows before the video runs."""
    for key, value in source.items():
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise InputError(f"masks are given by index (int) or name (str) of their frame, got the key {key!r}")
        if isinstance(value, (str, Path)) and not Path(value).is_file():
            raise DataError(f"mask of frame {key} not found: {value}")
    return dict(source)
