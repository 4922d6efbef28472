"""How near students come to their teacher on videos: masks and features, frame by frame; no reference mask is read."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ..inference.prefetch import PrefetchReader
from ..inference.readers import DatasetVideoReader
from ..inference.session import VOSSession
from ..models.distillers import Grid
from ..models.distillers.pairs import Pair
from ..models.layers.offset_network import OffsetNetwork
from ..structures import StepOutput, Video
from .evaluator import naming
from .functional.davis import jaccard
from .offsets import OffsetWatch

CLIP = torch.zeros(1, dtype=torch.long)  # a session has one video, the first of its batch


def feature_pair(teacher: str, student: str) -> Pair:
    """What compares two features by the unbiased CKA, whose value for independent maps is 0 however wide they are."""
    return Pair(teacher, student, dict(type="CKALoss", estimator="unbiased"))


def kept_in_place(model: nn.Module) -> int:
    """Let the offset networks of a model move nothing, as ``max_offset=0`` of a config does; how many there are."""
    networks = [part for part in model.modules() if isinstance(part, OffsetNetwork)]
    for network in networks:
        network.max_offset = 0.0
    return len(networks)


@dataclass
class Nearness:
    """What was found of one student.

    Attributes:
        overlaps: J with the masks of the teacher, by video; one number for each object of each frame that was
            segmented, 1 where both masks are empty.
        similarities: CKA with the feature of the teacher, one number for each such frame.
        watch: where its offset networks moved their points.
    """

    overlaps: dict[str, list[float]] = field(default_factory=dict)
    similarities: list[float] = field(default_factory=list)
    watch: OffsetWatch = field(default_factory=OffsetWatch)

    def as_json(self) -> dict:
        """``J`` (mean over videos of their means), ``J_by_video``, ``cka``, ``offsets`` (see :class:`OffsetWatch`)."""
        by_video = {name: float(np.mean(values)) for name, values in self.overlaps.items() if values}
        return {"J": mean_of(list(by_video.values())), "J_by_video": by_video, "cka": mean_of(self.similarities),
                "offsets": self.watch.as_json()}


class Follower:
    """A model on one video: a session that also hands out what the model publishes."""

    def __init__(self, model: nn.Module, feature: str | None, session: Mapping):
        self.session = VOSSession(model, **{**session, "allow_empty": True})
        self.session.views[0].features = () if feature is None else (feature,)
        self.output: StepOutput | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of the outputs of the model inside."""
        observers = self.session.model.observers
        observers.append(self._note)
        try:
            yield
        finally:
            observers.remove(self._note)

    def _note(self, output: StepOutput) -> None:
        self.output = output

    @property
    def grid(self) -> Grid:
        """How the cells of the model lie on the pictures of the video."""
        return Grid(self.session.views[0].state.geometry, self.session.model.data_preprocessor.align_corners)


def compare(teacher: nn.Module, students: Mapping[str, nn.Module], videos: Sequence[Video], *, pair: Pair | None,
            session: Mapping, frames: int | None = None) -> dict[str, Nearness]:
    """Let all models follow the given objects of each video, frame by frame side by side, as at test time.

    Args:
        teacher, students: segmentors, each another object.
        videos: of which the masks that start objects are read, and no other.
        pair: the features that are compared (see :func:`feature_pair`); None: only masks are.
        session: options of the sessions of all models; a single view.
        frames: of each video, from its first one on; all by default.
    """
    found = {name: Nearness() for name in students}
    with contextlib.ExitStack() as stack:
        for name, student in students.items():
            stack.enter_context(found[name].watch.watch(student))
        for video in videos:
            lead = Follower(teacher, pair and pair.teacher, session)
            followers = {name: Follower(student, pair and pair.student, session) for name, student in students.items()}
            with naming(video):
                follow(video, lead, followers, pair, found, frames)
    return found


def follow(video: Video, lead: Follower, followers: Mapping[str, Follower], pair: Pair | None,
           found: Mapping[str, Nearness], frames: int | None) -> None:
    """Follow one video, and book what is found."""
    with contextlib.ExitStack() as stack:
        for follower in (lead, *followers.values()):
            stack.enter_context(follower.watching())
        reader = stack.enter_context(PrefetchReader(DatasetVideoReader(video)))
        for frame in reader:
            if frames is not None and frame.index >= frames:
                break
            prompt = video.read_prompt(frame.index)
            ids = None if prompt is None else video.prompts[frame.index]
            known = lead.session.ids
            theirs = lead.session.step(frame.image, prompt, ids)
            for name, follower in followers.items():
                ours = follower.session.step(frame.image, prompt, ids)
                found[name].overlaps.setdefault(video.name, []).extend(overlap(ours, theirs, i) for i in known)
                if known and pair is not None:
                    loss = pair(follower.output, lead.output, CLIP, follower.grid, lead.grid)
                    found[name].similarities.append(1 - float(loss))


def overlap(ours: np.ndarray, theirs: np.ndarray, value: int) -> float:
    """J of the masks of an object in two label maps (H, W)."""
    a, b = ours == value, theirs == value
    return jaccard(int((a & b).sum()), int((a | b).sum()))


def mean_of(values: Sequence[float]) -> float | None:
    """The mean; None where there is nothing."""
    return float(np.mean(values)) if values else None
