"""Scores on seen and unseen categories in the manner of YouTube-VOS (Xu et al., arXiv:1809.03327).

G = (J_seen + J_unseen + F_seen + F_unseen) / 4. The code of the benchmark's server is not public. The rule here: the
DAVIS measures J and F of every object on its required frames after the one it first appears in; mean over the frames
of an object, then over the objects of the seen and of the unseen categories.
"""

from collections.abc import Collection, Mapping

import numpy as np

from ...utils.errors import DataError
from ...utils.listing import natural_key
from .davis import check_size, frame_scores

KEYS = ("G", "J_seen", "J_unseen", "F_seen", "F_unseen")


def scored_frames(required: Mapping[int, Collection]) -> dict[int, list]:
    """Per object the frames it is scored on: its required frames, in order, without the first.

    Args:
        required: object id -> its required frames (indices or names).
    """
    return {number: in_time(frames)[1:] for number, frames in required.items()}


def in_time(frames: Collection) -> list:
    """Frames in their order: indices, or names, in which numbers count as numbers."""
    return sorted(frames, key=lambda frame: natural_key(frame) if isinstance(frame, str) else frame)


class VideoScorer:
    """Collects J and F of the objects of one video frame by frame.

    Args:
        name: of the video, for messages.
        categories: object id -> category.
        frames: object id -> the frames it is scored on, as :func:`scored_frames` gives them.
    """

    def __init__(self, name: str, categories: Mapping[int, str], frames: Mapping[int, Collection]):
        self.name = name
        self.categories = dict(categories)
        self._wanted = {number: set(frames[number]) for number in sorted(frames)}
        self._scores: dict[int, dict[str, tuple[float, float]]] = {number: {} for number in self._wanted}

    @property
    def frames(self) -> list:
        """All frames on which some object is scored, in order."""
        return in_time(set().union(*self._wanted.values()))

    def add(self, key, frame: str, prediction: np.ndarray, reference: np.ndarray) -> None:
        """Score the objects that are scored on the frame ``key``.

        Args:
            key: the frame as ``frames`` names it.
            frame: its name, for messages and results.
            prediction, reference: (H, W) uint8 ids.

        Raises:
            DataError: the sizes differ, or the prediction has an id that the video does not have.
        """
        check_size(self.name, frame, prediction, reference)
        present = np.flatnonzero(np.bincount(prediction.ravel(), minlength=256)).tolist()
        extra = [number for number in present if number and number not in self._wanted]
        if extra:
            raise DataError(f"video {self.name}, frame {frame}: the prediction has id {extra[0]}, but the video has "
                            f"only the ids {', '.join(map(str, self._wanted))}; remove the extra id")
        ids = [number for number, keys in self._wanted.items() if key in keys]
        for number, score in zip(ids, frame_scores(prediction, reference, ids), strict=True):
            self._scores[number][frame] = score

    def result(self) -> dict:
        """``{"objects": {id: {"category", "frames", "J" and "F" per frame, "J-Mean", "F-Mean"}}}``.

        An object that is required on no frame after its first has nothing to score and is left out.
        """
        objects = {}
        for number, scores in self._scores.items():
            if scores:
                region, boundary = (list(values) for values in zip(*scores.values(), strict=True))
                objects[str(number)] = {
                    "category": self.categories.get(number, ""), "frames": list(scores), "J": region, "F": boundary,
                    "J-Mean": float(np.mean(region)), "F-Mean": float(np.mean(boundary))}
        return {"objects": objects}


def global_scores(results: Mapping[str, dict], seen: Collection[str]) -> dict[str, float] | None:
    """The five numbers of the benchmark.

    Args:
        results: name of the video -> result of :class:`VideoScorer`.
        seen: categories that count as seen; all others are unseen.

    Returns:
        None if nothing was scored. Numbers that do not exist, because all objects are seen or all unseen, are left
        out (then there is no G either).
    """
    groups: dict[str, list[dict]] = {"seen": [], "unseen": []}
    for name in sorted(results):
        for entry in results[name]["objects"].values():
            groups["seen" if entry["category"] in seen else "unseen"].append(entry)
    scores = {f"{measure}_{group}": float(np.mean([entry[f"{measure}-Mean"] for entry in groups[group]]))
              for measure in ("J", "F") for group in groups if groups[group]}
    if len(scores) == len(KEYS) - 1:
        scores = {"G": sum(scores.values()) / len(scores), **scores}
    return scores or None
