"""Which feature of the student is compared with which one of the teacher, and by what."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...registry import LOSSES
from ...structures import StepOutput, Tap
from ...utils.errors import ConfigError, did_you_mean
from ..losses.pair import PairLoss
from .grids import Grid, on_grid

KEYS = ("teacher", "student", "loss", "name")


class Pair:
    """A feature of each model and the loss between them.

    Args:
        teacher, student: names of features, see :meth:`~..segmentors.base.VOSSegmentor.step`.
        loss: config (kind ``loss``, one of those between two models).
        name: under which the loss is logged; the loss's own by default.
        offered: what losses may take of the student: ``max_objects``.
    """

    def __init__(self, teacher: str, student: str, loss: dict, name: str | None = None, **offered: Any):
        self.teacher, self.student = teacher, student
        self.loss = LOSSES.build(loss, **offered)
        if not isinstance(self.loss, PairLoss):
            raise ConfigError(f"{type(self.loss).__name__} is no loss between two models: a pair needs one such as "
                              "CKALoss or InterObjectLoss")
        self.name = name or self.loss.name

    def check(self, students: Mapping[str, Tap], teachers: Mapping[str, Tap]) -> None:
        """Raise :class:`ConfigError` if a model does not publish the feature, or the loss cannot compare the two."""
        for who, name, taps in (("student", self.student, students), ("teacher", self.teacher, teachers)):
            if name not in taps:
                raise ConfigError(f"the {who} has no feature {name!r}.{did_you_mean(name, taps)} "
                                  f"It has: {', '.join(sorted(taps))}.")
        ours, theirs = students[self.student], teachers[self.teacher]
        loss = type(self.loss).__name__
        for who, name in (("student", self.student), ("teacher", self.teacher)):
            if (name == "logits") != (self.loss.reads == "logits"):
                wanted = "'logits'" if self.loss.reads == "logits" else "a feature of cells"
                raise ConfigError(f"{loss} compares {wanted}, but the {who}'s feature is {name!r}")
        if self.loss.columns == "fixed":
            for who, tap in (("student", ours), ("teacher", theirs)):
                if tap.slots > 1:
                    raise ConfigError(f"{loss} projects a fixed number of channels, but {tap.name!r} of the {who} has "
                                      "channels for each object: take another feature, or CKALoss")
        widths = cells_of(ours).shape[-1], cells_of(theirs).shape[-1]
        if self.loss.columns in ("keys", "channels") and widths[0] != widths[1]:
            remedy = "a student with grid_factor=1, or over='cells' of an 'output'" if self.loss.columns == "keys" \
                else "over='cells'"
            raise ConfigError(f"{loss} needs maps with the same {self.loss.columns}, but {self.student!r} of the "
                              f"student has {widths[0]} and {self.teacher!r} of the teacher {widths[1]}: take "
                              f"{remedy}, or CKALoss")

    def prepare(self, students: Mapping[str, Tap], teachers: Mapping[str, Tap]) -> None:
        """Let the loss make weights of its own."""
        self.loss.prepare(cells_of(students[self.student]), cells_of(teachers[self.teacher]))

    def __call__(self, student: StepOutput, teacher: StepOutput, clips: Tensor, here: Grid, there: Grid) -> Tensor:
        """The loss of a frame, with its weight.

        Args:
            student, teacher: outputs for the frame.
            clips: (M,) int64, the clips that have objects.
            here, there: how the cells of student and teacher lie on the student's frames.
        """
        ours, theirs = student.taps[self.student], teacher.taps[self.teacher]
        ours, theirs = (select(tap, clips) for tap in (ours, theirs))
        theirs = aligned(theirs, ours, there, here)
        if self.loss.reads != "logits":
            ours, theirs = cells_of(ours), cells_of(theirs)
            if self.loss.columns in ("keys", "channels") and ours.shape[-1] != theirs.shape[-1]:
                raise ConfigError(f"{type(self.loss).__name__}: {self.student!r} and {self.teacher!r} have "
                                  f"{ours.shape[-1]} and {theirs.shape[-1]} {self.loss.columns} on this frame: let "
                                  "both memories keep the same frames (train_gap), or take CKALoss")
        else:
            ours, theirs = ours.tensor, theirs.tensor
        return self.loss(ours, theirs) * self.loss.weight


def select(tap: Tap, clips: Tensor) -> Tap:
    """The feature of some of the clips."""
    return tap if len(clips) == len(tap.tensor) else Tap(tap.name, tap.tensor[clips.to(tap.tensor.device)], tap.grid)


def size_of(tap: Tap) -> tuple[int, int]:
    """(h, w) of the cells of a feature."""
    return tap.grid or tuple(tap.tensor.shape[-2:])


def cells_of(tap: Tap) -> Tensor:
    """A feature as cells (B, L, C)."""
    return tap.tensor if tap.grid is not None else tap.tensor.flatten(2).transpose(1, 2)


def aligned(tap: Tap, like: Tap, there: Grid, here: Grid) -> Tap:
    """The teacher's feature on the cells of the student's."""
    cells = size_of(like)
    if size_of(tap) == cells and there == here:
        return tap
    x = tap.tensor
    maps = x if tap.grid is None else x.transpose(1, 2).unflatten(2, tap.grid)
    maps = on_grid(maps, there, here, cells)
    return Tap(tap.name, maps if tap.grid is None else maps.flatten(2).transpose(1, 2),
               None if tap.grid is None else cells)


def build_pairs(settings: Sequence[Mapping[str, Any]], **offered: Any) -> list[Pair]:
    """The pairs of a config.

    Raises:
        ConfigError: there is none, one lacks a key or has one that is unknown, or two have one name.
    """
    if isinstance(settings, Mapping) or not settings:
        raise ConfigError("Distillation.pairs must be a list of dict(teacher=NAME, student=NAME, loss=dict(...)), got "
                          f"{settings!r}")
    pairs = []
    for number, given in enumerate(settings):
        where = f"Distillation.pairs.{number}"
        if not isinstance(given, Mapping):
            raise ConfigError(f"{where} must be a dict with teacher, student and loss, got {given!r}")
        for key in given:
            if key not in KEYS:
                raise ConfigError(f"{where} has no option {key!r}.{did_you_mean(key, KEYS)} Its options: "
                                  f"{', '.join(KEYS)}.")
        lacking = next((key for key in KEYS[:3] if key not in given), None)
        if lacking:
            raise ConfigError(f"{where} lacks {lacking!r}: a pair is dict(teacher=NAME, student=NAME, loss=dict(...))")
        pairs.append(Pair(**given, **offered))
    names = [pair.name for pair in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"two pairs of Distillation are called {twice!r} in the log: give one of them a name=...")
    return pairs
