"""The average precision of YouTube-VIS as a registered metric."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from ...registry import METRICS
from ...structures.vis_video import VISVideo
from ...utils.errors import DataError, InputError, did_you_mean
from ...utils.vis_json import is_int, is_number
from ..functional.track_masks import read_tracks
from ..functional.youtube_vis import KEYS, category_scores, global_scores, score_video
from ..report import print_table, youtube_vis_rows
from .video_metric import VideoMetric

FIELDS = ("category_id", "score", "segmentations")


@METRICS.register_module()
class YouTubeVISMetric(VideoMetric):
    """AP and AR of tracks: ``AP AP50 AP75 AR1 AR10 APs APm APl AR100 ARs ARm ARl`` (-1 where nothing counts).

    It takes tracks instead of frames: ``start(video)``, ``add_tracks(...)`` as often as there are any, ``finish()``.
    Masks are kept as run lengths. The result of a video holds its tracks as well, so that the results of several
    processes can be joined (``load_results``) and written as a result file or submission.

    Args:
        class_agnostic: categories do not count.
    """

    keys = KEYS
    family = "vis"

    def __init__(self, class_agnostic: bool = False):
        super().__init__()
        self.class_agnostic = class_agnostic
        self._names: dict[int, str] | None = None
        self._tracks: list[dict] = []

    def use_dataset(self, dataset: Any) -> None:
        """Take ids and names of the categories: unknown ones are refused from then on."""
        self._names = dict(zip(dataset.category_ids, dataset.classes, strict=True))

    def start(self, video: VISVideo) -> None:
        super().start(video)
        self._tracks = []

    def add_tracks(self, tracks: Sequence[Mapping]) -> None:
        """Take predicted tracks of the current video.

        Args:
            tracks: each with ``category_id`` (as in the annotation file), ``score`` and ``segmentations``: one entry
                per frame of the video, compressed run lengths or None.

        Raises:
            InputError: no video was started.
            DataError: a field is missing or wrong, or the number of segmentations is not that of the frames.
        """
        if self.video is None:
            raise InputError("YouTubeVISMetric.add_tracks was called before start(video)")
        self._tracks += [self._checked(track, len(self._tracks) + k) for k, track in enumerate(tracks)]

    def update(self, index: int, prediction: np.ndarray, reference: np.ndarray | None) -> None:
        """Not for this metric: it scores tracks, not frames."""
        raise InputError("YouTubeVISMetric scores tracks: call add_tracks, not update")

    def finish(self) -> dict:
        """End the video; its result: ``id``, ``tracks``, and ``groups`` to score (None without annotations).

        Raises:
            DataError: a segmentation is not a mask of the video's size.
        """
        if self.video is None:
            raise InputError("YouTubeVISMetric.finish was called before start(video)")
        result = self._result()
        self._results[self.video.name] = result
        self.video = None
        return result

    def compute(self) -> dict[str, float] | None:
        results = self._scored()
        return global_scores(results) if results else None

    def per_category(self) -> dict[str, dict[str, float]]:
        """The numbers of every category that has references, by name."""
        scores = category_scores(self._scored())
        return {self._category_name(key): values for key, values in scores.items()}

    def table(self, console: Console) -> None:
        rows = [] if self.class_agnostic else youtube_vis_rows(self.per_category(), KEYS)
        scores = self.compute()
        total = youtube_vis_rows({"all": scores}, KEYS)[0] if scores else None
        print_table(console, "YouTube-VIS", ("category", *KEYS), rows, total)

    def predictions(self) -> list[dict]:
        """All tracks of all videos as a result file has them, by ascending id of the video."""
        return [{"video_id": result["id"], **track} for result in self._ordered() for track in result["tracks"]]

    def _checked(self, track: Mapping, place: int) -> dict:
        name = f"video {self.video.name}, track {place}"
        for field in FIELDS:
            if field not in track:
                raise DataError(f"{name}: {field!r} is missing.{did_you_mean(field, track)} A track has "
                                f"{', '.join(FIELDS)}")
        category, score, masks = (_plain(track[field]) for field in FIELDS)
        if not is_int(category) or (self._names is not None and category not in self._names):
            known = "" if self._names is None else f"; known: {', '.join(map(str, self._names))}"
            raise DataError(f"{name}: category_id {category!r} is not one of the data set{known}")
        if not is_number(score) or not np.isfinite(score):
            raise DataError(f"{name}: score must be a finite number, got {score!r}")
        if len(masks) != len(self.video):
            raise DataError(f"{name}: {len(masks)} segmentations, but the video has {len(self.video)} frames (None "
                            "where there is no mask)")
        return {"category_id": category, "score": float(score), "segmentations": [_text(mask) for mask in masks]}

    def _result(self) -> dict:
        named = [{**track, "name": f"video {self.video.name}, track {k}"} for k, track in enumerate(self._tracks)]
        groups = None
        if self.video.has_reference:
            references = [{"category_id": t.category_id, "segmentations": t.segmentations, "areas": t.areas,
                           "iscrowd": t.crowd, "name": t.name} for t in self.video.tracks]
            groups = score_video(references, named, self.video.size, self.class_agnostic)["groups"]
        else:  # what a server would refuse is better known now
            read_tracks([t["segmentations"] for t in named], self.video.size, [t["name"] for t in named])
        return {"id": self.video.id, "groups": groups, "tracks": self._tracks}

    def _score(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        raise InputError("YouTubeVISMetric scores tracks: call add_tracks, not update")

    def _ordered(self) -> list[dict]:
        return sorted(self._results.values(), key=lambda result: result["id"])

    def _scored(self) -> list[dict]:
        return [result for result in self._ordered() if result["groups"] is not None]

    def _category_name(self, key: str) -> str:
        return key if self._names is None or not key.isdecimal() else self._names.get(int(key), key)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _text(mask: Any) -> Any:
    """Run lengths as JSON can hold them (pycocotools gives bytes)."""
    if isinstance(mask, Mapping) and isinstance(mask.get("counts"), bytes):
        return {"size": [int(side) for side in mask["size"]], "counts": mask["counts"].decode("ascii")}
    return mask
