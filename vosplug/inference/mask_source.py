"""Where the masks that start objects come from."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import DataError, InputError, did_you_mean
from ..utils.listing import masks_in, number_of
from ..utils.masks import object_ids, read_first_mask
from ..utils.notices import warn
from .readers import Frame

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
        labels = read_first_mask(value, binary=self.binary) if isinstance(value, (str, Path)) else np.asarray(value)
        if not self.skip_known:
            return labels, None
        known = set(tracked)
        new = [i for i in object_ids(labels) if i not in known]
        return (labels, new) if new or not known else None

    @cached_property
    def numbers(self) -> dict[int, str]:
        """Number -> the name of a mask that stands for it."""
        return by_number(self.masks)

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
        """Say which masks had no frame."""
        for key in self.masks:
            if key not in self.used:
                warn(f"the mask for frame {key} was not used: the input has no such frame")

    def _text(self, key: int | str) -> str:
        value = self.masks[key]
        return str(value) if isinstance(value, (str, Path)) else f"of frame {key}"

    def _key(self, frame: Frame, named: bool) -> int | str | None:
        for key in (frame.index, frame.name):
            if key in self.masks:
                return key
        return None if named else self.numbers.get(frame.index)


def as_dict(source: Any) -> Mapping[int | str, Any]:
    """Frame index or name -> path or array."""
    if isinstance(source, Mapping):
        return check_mapping(source)
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            masks = masks_in(path, nothing_else=True)
            if not masks:
                raise DataError(f"{path} has no masks (PNG files named like their frames)")
            return masks
        if not path.is_file():
            raise DataError(f"mask not found: {path}")
        return {0: path}
    if hasattr(source, "__array__"):
        return {0: source}
    raise InputError(f"masks must be a PNG, a folder of PNGs, an array (H, W), or a dict by frame, "
                     f"got {type(source).__name__}")


def by_number(masks: Mapping[int | str, Any]) -> dict[int, str]:
    """Number -> the name that stands for it, for names of digits: frames of video files have no other names."""
    numbers: dict[int, str] = {}
    for key in masks:
        number = number_of(key) if isinstance(key, str) else None
        if number is not None and numbers.setdefault(number, key) != key:
            raise DataError(f"the masks {numbers[number]} and {key} both stand for frame {number}: keep one of them")
    return numbers


def check_mapping(source: Mapping) -> Mapping[int | str, Any]:
    """Return masks by frame, or raise: files have to exist, so that a slip shows before the video runs."""
    for key, value in source.items():
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise InputError(f"masks are given by index (int) or name (str) of their frame, got the key {key!r}")
        if isinstance(value, (str, Path)) and not Path(value).is_file():
            raise DataError(f"mask of frame {key} not found: {value}")
    return dict(source)
