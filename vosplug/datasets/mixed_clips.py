"""Several clip data sets as one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..registry import DATASETS
from ..utils.errors import ConfigError, InputError
from .sampling import ClipRequest


@DATASETS.register_module()
class MixedClips:
    """Concatenate clip data sets.

    Args:
        datasets: configs of clip data sets (or the objects).
        repeats: how often each is repeated within one epoch; STCN repeats DAVIS five times beside YouTube-VOS.
        each: options of all data sets that do not have them of their own.

    Attributes:
        source_ranges: per data set the indices ``(begin, end)`` of one pass over it, for weighted sampling.
    """

    def __init__(self, datasets: Sequence[Any], repeats: Sequence[int] | None = None, each: dict | None = None):
        repeats = [1] * len(datasets) if repeats is None else list(repeats)
        if not datasets or len(repeats) != len(datasets):
            raise ConfigError(f"MixedClips needs one repeat per data set, got {len(datasets)} data sets and "
                              f"{len(repeats)} repeats")
        if any(isinstance(r, bool) or not isinstance(r, int) or r < 1 for r in repeats):
            raise ConfigError(f"repeats must be whole numbers of at least 1, got {repeats}")
        if each and not all(isinstance(d, dict) for d in datasets):
            raise ConfigError("MixedClips takes options for each data set only with configs of data sets")
        self.datasets = [DATASETS.build({**(each or {}), **d}) if isinstance(d, dict) else d for d in datasets]
        self._ends: list[int] = []
        self.source_ranges: list[tuple[int, int]] = []
        for number, (dataset, repeat) in enumerate(zip(self.datasets, repeats, strict=True)):
            if len(dataset) == 0:
                raise ConfigError(f"data set {number} of MixedClips ({type(dataset).__name__}) has no clips")
            begin = self._ends[-1] if self._ends else 0
            self.source_ranges.append((begin, begin + len(dataset)))
            self._ends.append(begin + len(dataset) * repeat)

    @property
    def label_free(self) -> bool:
        """Whether all of the data sets are, see :class:`~.static_image_clips.StaticImageClips`."""
        return all(getattr(dataset, "label_free", True) for dataset in self.datasets)

    @property
    def opens_masks(self) -> bool:
        """Whether any of the data sets does."""
        return any(getattr(dataset, "opens_masks", False) for dataset in self.datasets)

    @property
    def stills(self) -> bool:
        """Whether all of the data sets are of still images."""
        return all(getattr(dataset, "stills", False) for dataset in self.datasets)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, request: ClipRequest) -> dict:
        source, index = self.locate(request.index)
        return self.datasets[source][replace(request, index=index)]

    def locate(self, index: int) -> tuple[int, int]:
        """Number of the data set that ``index`` falls into, and the index within it."""
        if not 0 <= index < len(self):
            raise InputError(f"clip {index} is out of range: there are {len(self)}")
        source = next(number for number, end in enumerate(self._ends) if index < end)
        begin = self.source_ranges[source][0]
        return source, (index - begin) % len(self.datasets[source])
