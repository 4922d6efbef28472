"""What the checks of all layouts share."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...utils.davis_protocol import scored_frames
from ...utils.errors import DataError
from ...utils.images import read_image
from ...utils.listing import natural_order, runs
from ...utils.masks import object_ids, read_first_mask, read_mask
from ...utils.notices import collected


@dataclass
class Result:
    """Faults and warnings of one job, one line each, and how much was looked at."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def fault(self, where: object, what: str) -> None:
        """Note a fault."""
        self.faults.append(f"{where}: {what}")

    def warn(self, where: object, what: str) -> None:
        """Note what can be used, but may mean something else than it says."""
        self.warnings.append(f"{where}: {what}")

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

    def mask(self, path: Path, size: tuple[int, int] | None, *, binary: bool = False,
             first: bool = False) -> np.ndarray | None:
        """Read a mask, as ``first`` one of objects, and compare its size; None, and a fault, if it is unreadable."""
        self.counts["masks"] += 1
        try:
            labels = (read_first_mask if first else read_mask)(path, binary=binary)
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

    def id_gaps(self, path: Path, labels: np.ndarray) -> None:
        """Warn of ids that are left out in the mask whose largest id is the number of objects."""
        ids = object_ids(labels)
        missing = sorted(set(range(1, max(ids, default=0))) - set(ids))
        if missing:
            self.warn(path, f"the largest id is {ids[-1]}, but no pixel has {runs(missing)}; by the rule of DAVIS "
                            "these count as objects, too")

    def short_video(self, where: object, frames: int) -> None:
        """Warn of a video with references that is too short to be scored."""
        if not scored_frames(frames):
            self.warn(where, f"has only {frames} frame{'s' if frames > 1 else ''}, so it cannot be scored: the first "
                             "and the last do not count")

    def unexpected_ids(self, path: Path, labels: np.ndarray, known: Iterable[int], source: str) -> None:
        """Note a fault for each id in ``labels`` that is not ``known``."""
        for number in sorted(set(object_ids(labels)) - set(known)):
            self.fault(path, f"has the object id {number}, which {source} lacks")


@dataclass(frozen=True)
class Job:
    """A part of a check, a video as a rule, that can run beside others."""

    name: str
    run: Callable[[], Result]

    def result(self) -> Result:
        """Do it; what is said on the way is among the warnings, and what ends it among the faults."""
        with collected() as said:
            try:
                result = self.run()
            except DataError as error:
                result = Result(faults=[str(error)])
        result.warnings += [text for text in said if text not in result.warnings]
        return result


def lists_agree(result: Result, images: Mapping[str, Path], masks: Mapping[str, Path], mask_folder: Path,
                every: bool = True) -> None:
    """Note masks without a frame and, with ``every``, frames without a mask."""
    for name in natural_order(set(masks) - set(images)):
        result.fault(masks[name], "mask without a frame of that name")
    if every:
        for name in natural_order(set(images) - set(masks)):
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
