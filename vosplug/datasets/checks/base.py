"""What the checks of all layouts share."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...utils.errors import DataError
from ...utils.images import read_image
from ...utils.masks import object_ids, read_mask


@dataclass
class Result:
    """Faults of one job, one line each, and how much was looked at."""

    faults: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def fault(self, where: object, what: str) -> None:
        """Note a fault."""
        self.faults.append(f"{where}: {what}")

    def image(self, path: Path, sizes: set[tuple[int, int]] | None = None) -> tuple[int, int] | None:
        """Read a picture; return its (H, W), also added to ``sizes``, or note the fault and return None."""
        self.counts["images"] += 1
        try:
            size = read_image(path).shape[:2]
        except DataError as error:
            self.faults.append(str(error))
            return None
        if sizes is not None:
            sizes.add(size)
        return size

    def mask(self, path: Path, size: tuple[int, int] | None,
             read: Callable[[Path], np.ndarray] = read_mask) -> np.ndarray | None:
        """Read a mask and compare its size; return it, or note the fault and return None if it is unreadable."""
        self.counts["masks"] += 1
        try:
            labels = read(path)
        except DataError as error:
            self.faults.append(str(error))
            return None
        if size is not None and labels.shape != size:
            self.fault(path, f"the mask is {labels.shape[1]} x {labels.shape[0]} but its image "
                             f"{size[1]} x {size[0]} (width x height)")
        return labels

    def one_size(self, where: object, sizes: set[tuple[int, int]]) -> None:
        """Note a fault if the frames of a video differ in size."""
        if len(sizes) > 1:
            self.fault(where, "frames of different sizes: " + ", ".join(f"{w} x {h}" for h, w in sorted(sizes)))

    def unexpected_ids(self, path: Path, labels: np.ndarray, known: Iterable[int], source: str) -> None:
        """Note a fault for each id in ``labels`` that is not ``known``."""
        for number in sorted(set(object_ids(labels)) - set(known)):
            self.fault(path, f"has the object id {number}, which {source} lacks")


@dataclass(frozen=True)
class Job:
    """A part of a check, a video as a rule, that can run beside others."""

    name: str
    run: Callable[[], Result]


def lists_agree(result: Result, images: Mapping[str, Path], masks: Mapping[str, Path], mask_folder: Path,
                every: bool = True) -> None:
    """Note masks without a frame and, with ``every``, frames without a mask."""
    for name in sorted(set(masks) - set(images)):
        result.fault(masks[name], "mask without a frame of that name")
    if every:
        for name in sorted(set(images) - set(masks)):
            result.fault(mask_folder / f"{name}.png", f"missing: frame {images[name].name} has no mask")


def folders_or_faults(result: Result, *paths: Path) -> bool:
    """Whether all ``paths`` are folders; each that is not is noted."""
    missing = [path for path in paths if not path.is_dir()]
    for path in missing:
        result.fault(path, "folder not found")
    return not missing


def job_of_faults(name: str, result: Result) -> Job:
    """A job that only reports what was found while the jobs were listed."""
    return Job(name, lambda: result)
