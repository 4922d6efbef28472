"""The DAVIS table as a registered metric."""

import numpy as np
from rich.console import Console

from ...registry import METRICS
from ...structures.video import Video
from ...utils.davis_protocol import scored_frames
from ...utils.errors import DataError
from ..functional.davis import KEYS, SequenceScorer, check_protocol, existing_scores, global_scores, largest_id
from ..report import print_davis
from .video_metric import VideoMetric


@METRICS.register_module()
class DavisMetric(VideoMetric):
    """J and F of DAVIS (semi-supervised): ``J&F-Mean J-Mean J-Recall J-Decay F-Mean F-Recall F-Decay``.

    The first and the last frame of a video are not scored. The number of objects is the largest id of the first
    reference. Objects that start later, which videos of DAVIS do not have, are scored on the frames after their first.
    If the first reference lacks ids below its largest one, the numbers of the objects that exist stand beside the
    official ones, as ``existing J&F-Mean`` and so on.

    Args:
        protocol: "2017" scores every object on its own, "2016" one foreground per video.
    """

    keys = KEYS

    def __init__(self, protocol: str = "2017"):
        super().__init__()
        self.protocol = check_protocol(protocol)
        self._scorer: SequenceScorer | None = None
        self._given: set[int] = set()

    def start(self, video: Video) -> None:
        super().start(video)
        self._scorer = None
        self._given = set()

    def _score(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        scorer = self._need_scorer(reference if index == 0 else None)
        if index in scored_frames(len(self.video)):
            if index in self._given:
                raise DataError(f"video {self.video.name}: frame {self.video.frame_name(index)} was given twice")
            scorer.add(self.video.frame_name(index), prediction, reference, index)
            self._given.add(index)

    def _result(self) -> dict:
        self._need(set(scored_frames(len(self.video))), self._given)
        return self._need_scorer(None).result()

    def _need_scorer(self, first_reference: np.ndarray | None) -> SequenceScorer:
        if self._scorer is None:
            if first_reference is None:
                first_reference = self.video.read_labels(0)
            if first_reference is None:
                raise DataError(f"video {self.video.name}: the first frame has no reference, which tells the objects")
            self._scorer = SequenceScorer(self.video.name, first_reference, self.protocol, late_objects(self.video))
        return self._scorer

    def unscorable(self, video: Video) -> str | None:
        if not video.has_reference:
            return None
        if not scored_frames(len(video)):
            frames = f"{len(video)} frame{'s' if len(video) > 1 else ''}"
            return f"has only {frames}, of which the first and the last do not count"
        starts = late_objects(video).values()
        if any(start + 1 in scored_frames(len(video)) for start in starts):
            return None
        reference = video.read_labels(0)
        if reference is None or not (reference.any() if self.protocol == "2016" else largest_id(reference)):
            return "has no object in its first reference, nor one that starts early enough to be scored"
        return None

    def compute(self) -> dict[str, float] | None:
        scores = global_scores(self._results)
        existing = existing_scores(self._results)
        return {**scores, **{f"existing {key}": value for key, value in existing.items()}} if existing else scores

    def table(self, console: Console) -> None:
        print_davis(console, f"DAVIS {self.protocol}", self._results, "all objects")


def late_objects(video: Video) -> dict[int, int]:
    """Object id -> index of the frame in which it starts, of objects that start after the first frame."""
    return {number: start for number, start in video.first_frames.items() if start > 0}
