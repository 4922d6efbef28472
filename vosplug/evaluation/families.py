"""Families of models: what everything that takes a model has to know of it, so that no command asks which kind it is.

A class of models says which family it belongs to (``family``). What a family does differently stands here: sessions,
inferencers, evaluation, measuring, and the options that mean nothing to it.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..inference.inferencer import Inferencer, VOSInferencer
from ..inference.model_loading import family_name, model_type, session_defaults
from ..inference.session import new_session
from ..inference.vis_inferencer import VISInferencer
from ..inference.vis_session import VISSession
from ..utils.checkpoint import unwrapped
from ..utils.errors import InputError
from .complexity import Complexity, measure_clip
from .evaluator import Evaluator
from .gated_complexity import measure
from .metrics.video_metric import VideoMetric
from .vis_evaluator import VISEvaluator
from .vos_evaluator import VOSEvaluator

FOLLOWS, BY_FRAMES = "{method} follows objects that are given", "{method} works frame by frame"
FINDS, BY_CLIPS = "{method} finds instances by itself", "{method} works clip by clip, whatever the number of objects"
FITS = "the size of frames of {method} is test_session.size of the config"


class Family(ABC):
    """What models of a family have in common.

    Attributes:
        name: as classes of models say it.
        does: what such a method does, for messages.
        inferencer, evaluator: what segments videos, and what scores them.
        size: (H, W) of frames that nobody gives.
        quiet: options of a session that collects nothing, to measure it.
        at_random: options of a session of random weights, with which everything is computed that trained ones compute.
        brief: options of a call of the inferencer whose summary holds no masks.
        unused: options of commands that have no effect, and why.
        needed: options of commands without which nothing can be segmented, and why.
    """

    name: ClassVar[str]
    does: ClassVar[str]
    inferencer: ClassVar[type[Inferencer]]
    evaluator: ClassVar[type[Evaluator]]
    size: ClassVar[tuple[int, int]]
    quiet: ClassVar[Mapping[str, Any]] = {}
    at_random: ClassVar[Mapping[str, Any]] = {}
    brief: ClassVar[Mapping[str, Any]] = {}
    unused: ClassVar[Mapping[str, str]]
    needed: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def session(self, model: Any, **options) -> Any:
        """A session for a new video."""

    @abstractmethod
    def feed(self, session: Any, image: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Give a session the next frame (H, W, 3), and the labels (H, W) of objects that start there, if they count."""

    @abstractmethod
    def length(self, config: Mapping[str, Any]) -> int:
        """Frames that the model of a config segments at once."""

    @abstractmethod
    def untimed(self, warm_up: int, length: int) -> int:
        """Clips of ``length`` frames at the beginning of a video that are not timed, for ``warm_up`` frames."""

    @abstractmethod
    def statistics(self, model: Any, **options) -> Complexity:
        """Weight and work of a model; see the functions of :mod:`~.complexity` for the options."""


class VOSFamily(Family):
    """Methods that follow given objects frame by frame, and baselines."""

    name = "vos"
    does = "follows objects whose first masks are given"
    inferencer, evaluator = VOSInferencer, VOSEvaluator
    size = (480, 854)
    unused: ClassVar = {"min_score": FOLLOWS, "classes": FOLLOWS, "clip_length": BY_FRAMES, "frames": BY_FRAMES,
                        "show_score": "only tracks have scores", "class_numbers": "only tracks have categories"}
    needed: ClassVar = {"mask": f"{FOLLOWS}, in a PNG for the first frame or a folder of PNGs"}

    def session(self, model: Any, **options) -> Any:
        """The model's own kind, or a :class:`~vosplug.inference.VOSSession`."""
        return new_session(model, **options)

    def feed(self, session: Any, image: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Segment the frame."""
        session.step(image, labels)

    def length(self, config: Mapping[str, Any]) -> int:
        """One."""
        return 1

    def untimed(self, warm_up: int, length: int) -> int:
        """The first frame is given, so it comes on top."""
        return 1 + warm_up

    def statistics(self, model: Any, **options) -> Complexity:
        """Of the kinds of frames."""
        return measure(model, **options)


class VISFamily(Family):
    """Methods that find instances clip by clip."""

    name = "vis"
    does = "finds instances by itself (video instance segmentation: efficientvis_r50, ...)"
    inferencer, evaluator = VISInferencer, VISEvaluator
    size = (360, 640)
    quiet: ClassVar = {"keep_masks": False}
    at_random: ClassVar = {"min_score": 0.0}  # the masks of all tracklets are made, of which no score is high
    brief: ClassVar = {"keep_masks": False}
    unused: ClassVar = {**dict.fromkeys(("mask", "binary_mask", "skip_known_ids", "correct", "show_gate", "add_at",
                                         "remove_at"), FINDS),
                        **dict.fromkeys(("max_short_side", "max_long_side", "scales", "flip"), FITS),
                        **dict.fromkeys(("objects", "memory_frames", "density", "stages",
                                        "max_slowdown"), BY_CLIPS)}

    def session(self, model: Any, **options) -> VISSession:
        """A session that takes clips."""
        return VISSession(model, **options)

    def feed(self, session: VISSession, image: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Add the frame to its clip."""
        session.add(image)

    def length(self, config: Mapping[str, Any]) -> int:
        """Of a clip: as ``test_session`` or the model states it, or as the class has it by default."""
        stated = session_defaults(config).get("clip_length") or config["model"].get("clip_length")
        return stated or inspect.signature(model_type(config)).parameters["clip_length"].default

    def untimed(self, warm_up: int, length: int) -> int:
        """Whole clips."""
        return -(-warm_up // length)

    def statistics(self, model: Any, **options) -> Complexity:
        """Of a clip."""
        return measure_clip(model, **options)


FAMILIES: dict[str, Family] = {family.name: family for family in (VOSFamily(), VISFamily())}


def family_of(model: Any) -> Family:
    """The family of a model, of the class of one, of a config, or of a metric.

    Raises:
        InputError: there is no such family.
    """
    model = unwrapped(model)
    is_config = isinstance(model, Mapping) or hasattr(model, "filename")
    name = family_name(model_type(model) if is_config else model)
    if name not in FAMILIES:
        raise InputError(f"{model!r} is of the family {name!r}, which is not known: one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def evaluate_videos(model: Any, dataset: Any, metric: VideoMetric | None, **options) -> dict[str, float] | None:
    """Segment all videos of a data set and score them.

    Args:
        model: a segmentor, or anything with ``new_session(**options)`` (a baseline).
        dataset: the videos.
        metric: a fresh metric; None only writes.
        options: ``session_options``, ``out_dir``, ``show_dir``, ``progress``, see :class:`~.evaluator.Evaluator`.

    Returns:
        The numbers of the metric, or None without a metric or a reference.

    Raises:
        VosplugError: a video cannot be read, segmented or written. What other videos gave is in ``out_dir``.
    """
    return family_of(model).evaluator(model, **options).run(dataset, metric)
