"""Finding the instances of videos in a few lines of Python."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..structures import TrackMask
from ..utils.errors import InputError
from ..utils.notices import warn
from .inferencer import Inferencer, Summary, as_list, check_outputs
from .opening import open_reader
from .readers import Frame
from .track_writers import open_track_writer
from .vis_session import VISSession, follow

MIN_SCORE = 0.3
"""Mean class score from which a track is shown: tracks of lower scores serve average precision only."""


@dataclass
class VISSummary(Summary):
    """What was found; ``frames``, ``seconds``, ``size``, ``ids`` and ``fps`` as in :class:`Summary`.

    Attributes:
        tracks: whose final score is at least the minimum score, best first. Each is a dict with ``id`` (from 1, in the
            order of appearance), ``category`` (name), ``label`` (class from 0), ``score``, ``first`` and ``last``
            (frames with a mask), ``frames`` (number of masks) and, if masks are kept, ``segmentations``: per frame run
            lengths ``{"size": [H, W], "counts": str}``, or None.
    """

    tracks: list[dict] = field(default_factory=list)


class VISInferencer(Inferencer):
    """Finds, segments and tracks the objects of videos with one model; see :class:`Inferencer` for other arguments.

    >>> find = VISInferencer("efficientvis_r50", "efficientvis.pth")  # doctest: +SKIP
    >>> for track in find("street.mp4", out="street_overlay.mp4").tracks:  # doctest: +SKIP
    ...     print(track["category"], track["score"])

    ``session_options`` are those of :class:`~vosplug.inference.vis_session.VISSession`: ``size``, ``clip_length``, ...

    Args:
        classes: names of the model's classes; by default those that the checkpoint of a training names, else
            ``class 0``, ``class 1``, ...

    Raises:
        InputError: the number of names is not that of the classes.
    """

    family = "vis"

    def __init__(self, config: Any = None, checkpoint: str | os.PathLike | None = None, *, device: Any = None,
                 classes: Sequence[str] | None = None, session_options: Mapping[str, Any] | None = None):
        super().__init__(config, checkpoint, device=device, session_options=session_options)
        count, trained = self.model.num_classes, getattr(self.model, "class_names", None)
        if classes is None:
            classes = trained
        elif trained is not None and list(classes) != list(trained) and sorted(classes) == sorted(trained):
            warn("the names of the classes are those of the checkpoint in another order: class 0 was trained as "
                 f"{trained[0]!r}, and is called {list(classes)[0]!r}")
        self.classes = [f"class {label}" for label in range(count)] if classes is None else [str(c) for c in classes]
        if len(self.classes) != count:
            raise InputError(f"{len(self.classes)} names of classes are given, the model has {count} classes")

    def __call__(self, source: Any, *, out: Any = (), min_score: float = MIN_SCORE, keep_masks: bool = True,
                 prefetch: int = 4, on_frame: Callable[[Frame, list[TrackMask]], None] | None = None) -> VISSummary:
        """Find the tracks of a video and write them, if wanted.

        Args:
            source: whatever :func:`open_reader` takes: a video file, a folder of images, the number of a camera, an
                iterable of pictures, ...
            out: where to write, see :func:`~vosplug.inference.track_writers.open_track_writer`; several in a list.
            min_score: tracks whose mean score so far is lower are not shown.
            keep_masks: the tracks of the result have all masks; without, a long video needs the memory of one clip.
            prefetch: frames to read ahead.
            on_frame: called after each frame with the frame and its masks.

        Returns:
            The tracks, and numbers of the run.

        Raises:
            VosplugError: the input cannot be read (further), or the output cannot be written. Outputs are finished with
                the frames so far.
        """
        summary = VISSummary()
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(open_reader(source, prefetch=prefetch))
            check_outputs(as_list(out), reader)
            writers = [stack.enter_context(open_track_writer(item, fps=reader.fps)) for item in as_list(out)]
            run = _Run(self, min_score=min_score, keep_masks=keep_masks)
            for frame, masks in run.frames(reader):
                summary.frames, summary.size = summary.frames + 1, frame.image.shape[:2]
                for writer in writers:
                    writer.write(frame, masks)
                if on_frame is not None:
                    on_frame(frame, masks)
            shown = run.tracks()
            for writer in writers:
                writer.finish(shown)
        summary.seconds, summary.tracks = run.session.seconds, [t for t in shown if t["score"] >= min_score]
        summary.ids = tuple(sorted(track["id"] for track in summary.tracks))
        return summary

    def stream(self, source: Any, *, min_score: float = MIN_SCORE,
               prefetch: int = 4) -> Iterator[tuple[Frame, list[TrackMask]]]:
        """Yield every frame with its masks, best track first. Frames come a clip at a time, when the clip is complete.

        Classes and scores are those of the video up to the end of the clip.
        """
        with open_reader(source, prefetch=prefetch) as reader:
            yield from _Run(self, min_score=min_score, keep_masks=False).frames(reader)


class _Run:
    """One video: a session, and the numbers under which its tracks are shown."""

    def __init__(self, owner: VISInferencer, *, min_score: float, keep_masks: bool):
        if not 0 <= min_score <= 1:
            raise InputError(f"min_score must lie in 0..1, got {min_score}")
        options = {**owner.session_options, "keep_masks": keep_masks, "classes_per_track": 1}
        self.session = VISSession(owner.model, **options)
        self.classes, self.min_score = owner.classes, min_score
        self.numbers: dict[int, int] = {}

    def frames(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[TrackMask]]]:
        """Frames with the masks that are shown; ids are 1, 2, ... in the order of appearance."""
        for frame, masks in follow(self.session, frames):
            yield frame, [self._named(mask) for mask in masks if mask.score >= self.min_score]

    def tracks(self) -> list[dict]:
        """All tracks that were shown, with their final classes and scores, best first."""
        return [{**track, "id": self.numbers[track["id"]], "category": self.classes[track["label"]]}
                for track in self.session.finish() if track["id"] in self.numbers]

    def _named(self, mask: TrackMask) -> TrackMask:
        number = self.numbers.setdefault(mask.id, len(self.numbers) + 1)
        return replace(mask, id=number, category=self.classes[mask.label])
