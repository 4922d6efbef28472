"""Scoring folders of masks with the DAVIS measures."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..utils.davis_protocol import scored_frames
from ..utils.errors import DataError, InputError, did_you_mean
from ..utils.listing import folders_in, masks_in
from ..utils.mask_kinds import present
from ..utils.masks import read_mask
from ..utils.names import check_names, read_names
from .functional.davis import SequenceScorer
from .reading import choose, need_folder, predicted_paths

PROTOCOLS = ("semi2017", "semi2016", "unsupervised")


@dataclass(frozen=True)
class DavisJob:
    """One sequence to score: where its masks lie. Small, so that it can be sent to another process.

    Attributes:
        name: of the sequence.
        references: folder of the reference masks.
        predictions: folder of the predicted masks.
        protocol: one of PROTOCOLS.
        images: folder of the pictures, if there is one.
    """

    name: str
    references: Path
    predictions: Path
    protocol: str = PROTOCOLS[0]
    images: Path | None = None

    def score(self) -> dict:
        """Result of the sequence: per-frame values and statistics of every object.

        Raises:
            DataError: a mask is missing, unreadable, of another size, or has an id too many; no frame is left.
        """
        references = masks_in(need_folder(self.references, f"sequence {self.name}: folder of the references"))
        frames = list(references)
        if not frames:
            raise DataError(f"sequence {self.name}: {self.references} has no PNG files")
        scored = range(len(frames)) if self.protocol == "unsupervised" else scored_frames(len(frames))
        predictions = predicted_paths(self.name, self.predictions, [frames[i] for i in scored], frames)
        scorer = self._scorer(references[frames[0]])
        for frame, path in predictions.items():
            scorer.add(frame, self.read_prediction(path), self.read(references[frame]))
        return scorer.result()

    def read(self, path: Path, ids: Collection[int] = ()) -> np.ndarray:
        """Read a mask of this sequence as (H, W) uint8 ids; the 2016 protocol knows one foreground."""
        return read_mask(path, binary=self.protocol == "semi2016", ids=ids)

    def read_prediction(self, path: Path) -> np.ndarray:
        """As :meth:`read`; a mask of the sequence's own objects alone may have slivers of any shape."""
        return self.read(path, self.ids)

    @cached_property
    def ids(self) -> Collection[int]:
        """Values of the first reference; unsupervised predictions are free to have others."""
        first = next(iter(masks_in(self.references).values()))
        return () if self.protocol == "unsupervised" else present(self.read(first))

    def _scorer(self, first: Path):
        if self.protocol == "unsupervised":
            from .functional.davis_unsupervised import UnsupervisedScorer

            return UnsupervisedScorer(self.name, self.read(first))
        return SequenceScorer(self.name, self.read(first), protocol=self.protocol.removeprefix("semi"))


def find_davis_jobs(gt: Path, pred: Path, *, protocol: str = PROTOCOLS[0], split: str | None = None,
                    year: str | None = None, resolution: str | None = None,
                    sequences: Iterable[str] | None = None) -> list[DavisJob]:
    """Find the sequences to score.

    Args:
        gt: a DAVIS root (``Annotations/<resolution>/<sequence>/*.png``, ``ImageSets/<year>/<split>.txt``) or a folder
            of ``<sequence>/*.png``.
        pred: folder of ``<sequence>/*.png``.
        protocol: one of PROTOCOLS.
        split, year, resolution: for a DAVIS root only; by default val, 2016 or 2017 as the protocol says, and 480p.
            Split "all" takes every sequence that has annotations.
        sequences: names to keep.

    Raises:
        DataError: a folder, list or sequence is missing.
        InputError: an unknown protocol, or an option that only a DAVIS root takes.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown protocol {protocol!r}.{did_you_mean(protocol, PROTOCOLS)} Known: "
                         f"{', '.join(PROTOCOLS)}.")
    need_folder(gt, "folder of the references")
    need_folder(pred, "folder of the predictions")
    masks, images = gt, None
    root = _mask_root(gt, protocol)
    if root is None:
        given = [f"--{option}" for option, value in (("set", split), ("year", year), ("resolution", resolution))
                 if value is not None]
        if given:
            raise InputError(f"{given[0]} is for a DAVIS root (with Annotations/480p and ImageSets), but {gt} is not "
                             "one; leave the option out to score all sequences of the folder, or use --sequences")
        names = folders_in(gt)
    else:
        resolution = resolution or "480p"
        masks = need_folder(root / resolution, "annotations of this resolution")
        images = gt / "JPEGImages" / resolution
        year = year or ("2016" if protocol == "semi2016" else "2017")
        names = folders_in(masks) if split == "all" else _read_split(gt / "ImageSets" / year, split or "val")
    check_names(names, gt)
    return [DavisJob(name, masks / name, pred / name, protocol, None if images is None else images / name)
            for name in choose(names, sequences, gt)]


def _mask_root(gt: Path, protocol: str) -> Path | None:
    """The folder of the resolutions in a DAVIS root; None if ``gt`` is a folder of sequences."""
    if protocol == "unsupervised":
        folders = ["Annotations_unsupervised"]
    else:
        folders = ["Annotations_2016", "Annotations"] if protocol == "semi2016" else ["Annotations"]
    for folder in folders:
        if (gt / folder).is_dir():
            return gt / folder
    if (gt / "ImageSets").is_dir():
        raise DataError(f"{gt} looks like a DAVIS root but has no folder {folders[-1]}")
    return None


def _read_split(folder: Path, split: str) -> list[str]:
    path = need_folder(folder, "lists of the year") / f"{split}.txt"
    if not path.is_file():
        found = sorted(p.stem for p in folder.glob("*.txt"))
        raise DataError(f"list not found: {path}.{did_you_mean(split, found)} Lists there: "
                        f"{', '.join(found) or 'none'}, and 'all' for every annotated sequence")
    return read_names(path)
