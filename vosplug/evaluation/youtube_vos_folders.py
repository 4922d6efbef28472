"""Scoring folders of masks in the YouTube-VOS layout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.errors import DataError
from ..utils.files import read_json
from ..utils.listing import masks_in, natural_order
from ..utils.masks import read_mask
from .functional.youtube_vos import VideoScorer, scored_frames
from .reading import choose, need_folder, predicted_paths


@dataclass(frozen=True)
class YouTubeVOSJob:
    """One video to score. Small, so that it can be sent to another process.

    Attributes:
        name: of the video.
        references: folder of the reference masks.
        predictions: folder of the predicted masks.
        categories: object id -> category.
        required: object id -> names of the frames on which it has to be predicted.
        images: folder of the pictures, if there is one.
    """

    name: str
    references: Path
    predictions: Path
    categories: dict[int, str]
    required: dict[int, tuple[str, ...]]
    images: Path | None = None

    def score(self) -> dict:
        """Result of the video: per-frame values and means of every object.

        Raises:
            DataError: a mask is missing, unreadable, of another size, or has an id too many.
        """
        scorer = VideoScorer(self.name, self.categories, scored_frames(self.required))
        references = masks_in(self.references)
        predictions = predicted_paths(self.name, self.predictions, scorer.frames)
        for frame, path in predictions.items():
            if frame not in references:
                raise DataError(f"video {self.name}: the reference of frame {frame} is missing: "
                                f"{self.references / frame}.png")
            scorer.add(frame, frame, self.read_prediction(path), self.read(references[frame]))
        return scorer.result()

    def read(self, path: Path) -> np.ndarray:
        """Read a mask of this video as (H, W) uint8 ids."""
        return read_mask(path)

    def read_prediction(self, path: Path) -> np.ndarray:
        """As :meth:`read`; a mask of the video's own objects alone may have slivers of any shape."""
        return read_mask(path, ids=self.categories)


def find_youtube_vos_jobs(gt: Path, pred: Path, sequences: Iterable[str] | None = None) -> list[YouTubeVOSJob]:
    """Find the videos to score.

    Args:
        gt: folder with ``Annotations/<video>/<frame>.png`` and ``meta.json``.
        pred: folder of ``<video>/<frame>.png``, or one with such a folder ``Annotations``.
        sequences: names of videos to keep.

    Raises:
        DataError: a folder, file or video is missing, or ``meta.json`` is faulty.
    """
    from ..datasets.youtube_vos_meta import read_meta

    masks = need_folder(need_folder(gt, "folder of the references") / "Annotations", "reference masks")
    need_folder(pred, "folder of the predictions")
    pred = pred / "Annotations" if (pred / "Annotations").is_dir() else pred
    meta = read_meta(gt / "meta.json")
    images = gt / "JPEGImages"
    return [YouTubeVOSJob(name, masks / name, pred / name, meta[name].categories, meta[name].frames, images / name)
            for name in choose(natural_order(meta), sequences, gt / "meta.json")]


def seen_categories(gt: Path, given: Sequence[str] | None = None) -> list[str]:
    """Categories that count as seen, sorted.

    Args:
        gt: folder of the references; its ``seen_unseen.json`` is the default, then that of its parent, then the 65
            categories of the training set.
        given: names of categories, or one JSON file: a ``seen_unseen.json``, or the ``meta.json`` of a training set,
            all of whose categories are seen.

    Raises:
        DataError: the file is not one of these two.
    """
    from ..datasets.youtube_vos_meta import TRAINING_CATEGORIES, read_meta, read_seen_unseen

    if given and not (len(given) == 1 and given[0].endswith(".json")):
        return sorted(given)
    paths = [Path(given[0])] if given else [folder / "seen_unseen.json" for folder in (gt, gt.parent)]
    for path in paths:
        if given and "videos" in read_json(path):
            return sorted({c for video in read_meta(path).values() for c in video.categories.values()})
        if given or path.is_file():
            return sorted(read_seen_unseen(path))
    return sorted(TRAINING_CATEGORIES)
