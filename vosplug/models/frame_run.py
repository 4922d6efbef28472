"""The frame that is being worked on: what was decided for it, whose rows run, and what was done."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..structures import Prompt, Rows, Tap, VideoState, joined_taps

_current: ContextVar["FrameRun | None"] = ContextVar("frame_run", default=None)


class FramePolicy(Protocol):
    """Decides something about a frame before it is processed."""

    def decide(self, state: VideoState, prompted: bool, last: bool) -> dict[str, Any]:
        """Entries for the plan of the frame."""


class FrameRun:
    """One frame on its way through a segmentor; layers, gates and heads find it by :func:`current_run`.

    Args:
        state: of the video.
        prompted: objects start at this frame.
        last: no frame follows.
        labels: (B, H, W) int64 true labels by channel, 255 void; in training only.
        features: names of what is to be published of the inside of the network; None for all there is.

    Attributes:
        training: a batch of training clips is unrolled.
        plan: what frame policies decided beforehand, such as ``{"dense": True}``.
        rows: whose rows object-wise layers see now; None where nobody said so.
        nobody: the rows that run now are nobody's (augmented samples): nothing of the video goes with them.
        prompt: the masks that start objects at this frame, None if there are none.
        started: rows that began at this frame; None until objects have been started.
        predicted: whether masks of the objects that were known before come from the network; a method that takes them
            from ``labels`` says no, and no loss looks at the frame.
        notes: what was done, see :mod:`~vosplug.structures.notes`.
        shared: what parts share within the frame, by name.
    """

    def __init__(self, state: VideoState, *, prompted: bool = False, last: bool = False,
                 labels: Tensor | None = None, features: Collection[str] | None = ()):
        self.state, self.prompted, self.last = state, prompted, last
        self.features = features
        self.training = state.training
        self.labels = labels
        self.plan: dict[str, Any] = {}
        self.rows: Rows | None = None
        self.nobody = False
        self.prompt: Prompt | None = None
        self.started: Rows | None = None
        self.predicted = True
        self.notes: list[Any] = []
        self.shared: dict[Any, Any] = {}

    @classmethod
    @contextmanager
    def begin(cls, state: VideoState, policies: Iterable[FramePolicy], *, prompted: bool, last: bool,
              labels: Tensor | None = None, features: Collection[str] | None = ()) -> Iterator["FrameRun"]:
        """The run of a frame, with the decisions of ``policies``; within a run of the same video, that run."""
        outer = _current.get()
        if outer is not None and outer.state is state:
            yield outer
            return
        run = cls(state, prompted=prompted, last=last, labels=labels, features=features)
        for policy in policies:
            run.plan.update(policy.decide(state, prompted, last))
        with run.working():
            yield run

    @contextmanager
    def working(self) -> Iterator["FrameRun"]:
        """Make this the current run inside."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    @contextmanager
    def whose(self, rows: Rows | None) -> Iterator[None]:
        """Say whose rows object-wise layers see inside; None: nobody's."""
        before = self.rows, self.nobody
        self.rows, self.nobody = rows, rows is None
        try:
            yield
        finally:
            self.rows, self.nobody = before

    def note(self, note: Any) -> None:
        """Tell what was done."""
        self.notes.append(note)

    def asks(self, name: str) -> bool:
        """Whether the feature ``name`` is to be published: what costs something is made only then."""
        return self.features is None or name in self.features

    def tap(self, name: str, tensor: Tensor, grid: tuple[int, int] | None = None, *, of_frame: bool = False) -> None:
        """Publish a feature if it was asked for; of nobody's rows there is none.

        Args:
            name: of the feature.
            tensor: see :class:`~vosplug.structures.Tap`.
            grid: (h, w) of the cells of tokens (R, L, C).
            of_frame: it belongs to the frame (R is B), not to the rows that run now.
        """
        if self.asks(name) and not self.nobody:
            self.note(Tap(name, tensor, grid, None if of_frame else self.rows))

    def tapped(self) -> dict[str, Tap]:
        """The features that were published, by name, each of the whole batch; they are no notes any more."""
        by_name: dict[str, list[Tap]] = {}
        for note in self.notes:
            if isinstance(note, Tap):
                by_name.setdefault(note.name, []).append(note)
        self.notes = [note for note in self.notes if not isinstance(note, Tap)]
        return {name: joined_taps(taps) for name, taps in by_name.items()}


def current_run() -> FrameRun | None:
    """The frame that is being worked on, None outside of a frame loop."""
    return _current.get()


def working_on(rows: Rows) -> AbstractContextManager[None]:
    """Say whose rows run inside, see :meth:`FrameRun.whose`; outside of a frame loop nobody asks."""
    run = current_run()
    return nullcontext() if run is None else run.whose(rows)


def is_training(module: nn.Module) -> bool:
    """Whether ``module`` works on training clips: so says the frame loop, or, outside of one, the module's mode."""
    run = visible_run()
    return module.training if run is None else run.training


def is_nobodys() -> bool:
    """Whether the rows that run are nobody's, so that nothing may be remembered of them."""
    run = visible_run()
    return run is not None and run.nobody


def visible_run() -> FrameRun | None:
    """The current run; None for a compiler, which cannot look into a context variable: graphs publish nothing."""
    return None if torch.compiler.is_compiling() else _current.get()
