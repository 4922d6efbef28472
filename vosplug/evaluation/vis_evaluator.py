"""Finds the instances of the videos of a data set and scores their tracks."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..inference.prefetch import PrefetchReader
from ..inference.readers import DatasetVideoReader
from ..inference.track_writers import TrackVideoWriter
from ..inference.vis_inferencer import MIN_SCORE
from ..inference.vis_session import VISSession, follow
from ..structures import VISVideo
from ..utils.errors import ConfigError
from ..utils.files import write_json
from .class_names import class_places
from .evaluator import Evaluator, Share, naming


class VISEvaluator(Evaluator):
    """Segments whole videos clip by clip; see :class:`Evaluator` for the other arguments.

    ``out_dir`` gets ``results.json``, the tracks as a server takes them, and ``scores.json``.

    Args:
        show_score: tracks whose mean score so far is lower are not drawn.
        by_number: classes of the model are the categories of the data set by their numbers, whatever their names are.
    """

    def __init__(self, model: Any, *, session_options: Mapping[str, Any] | None = None,
                 out_dir: str | Path | None = None, show_dir: str | Path | None = None, show_score: float = MIN_SCORE,
                 by_number: bool = False, progress: bool = True):
        super().__init__(model, session_options=session_options, out_dir=out_dir, show_dir=show_dir, progress=progress)
        self.show_score, self.by_number = show_score, by_number
        self._places: list[int] = []

    def check(self, dataset: Any, videos: Sequence[VISVideo]) -> None:
        """The classes have to be those of the data set, in number and in name."""
        classes = getattr(self.model, "num_classes", len(dataset.category_ids))
        if classes != len(dataset.category_ids):
            raise ConfigError(f"the model has {classes} classes, the data set {len(dataset.category_ids)}: set "
                              "model.num_classes to the number of categories that it was trained with")
        self._places = class_places(getattr(self.model, "class_names", None), dataset.classes, self.by_number)

    def segment(self, video: VISVideo, dataset: Any, metric: Any, share: Share,
                advance: Callable[[], None]) -> dict | None:
        """Find the tracks; the metric takes them at the end of the video."""
        if metric is not None:
            metric.start(video)
        tracks = self._tracks(video, dataset, share, advance)
        if metric is None:
            return None
        metric.add_tracks(tracks)
        return metric.finish()

    def write_results(self, metric: Any) -> None:
        """The tracks."""
        write_json(self.out_dir / "results.json", metric.predictions())

    def write_scores(self, scores: dict | None, metric: Any) -> None:
        """The numbers, if anything was scored."""
        if scores is not None:
            write_json(self.out_dir / "scores.json", scores)

    def _tracks(self, video: VISVideo, dataset: Any, share: Share, advance: Callable[[], None]) -> list[dict]:
        session = VISSession(self.model, **{**self.session_options, "keep_masks": True})
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(PrefetchReader(DatasetVideoReader(video)))
            pictures = None
            if self.show_dir is not None:
                pictures = stack.enter_context(TrackVideoWriter(self.show_dir / f"{video.name}.mp4"))
            with naming(video):
                for frame, masks in follow(session, reader):
                    share.frames += 1
                    if pictures is not None:
                        pictures.write(frame, [replace(mask, category=dataset.classes[self._places[mask.label]])
                                               for mask in masks if mask.score >= self.show_score])
                    advance()
                tracks = session.finish()
        share.seconds += session.seconds
        return [dict(category_id=dataset.category_ids[self._places[t["label"]]], score=t["score"],
                     segmentations=t["segmentations"]) for t in tracks]
