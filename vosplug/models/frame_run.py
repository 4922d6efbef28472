"""The frame that is being worked on: what was decided for it, whose rows run, and what was done."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..structures import Prompt, Rows, VideoState

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
                 labels: Tensor | None = None):
        self.state, self.prompted, self.last = state, prompted, last
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
              labels: Tensor | None = None) -> Iterator["FrameRun"]:
        """The run of a frame, with the decisions of ``policies``; within a run of the same video, that run."""
        outer = _current.get()
        if outer is not None and outer.state is state:
            yield outer
            return
        run = cls(state, prompted=prompted, last=last, labels=labels)
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


def current_run() -> FrameRun | None:
    """The frame that is being worked on, None outside of a frame loop."""
    return _current.get()


def is_training(module: nn.Module) -> bool:
    """Whether ``module`` works on training clips: so says the frame loop, or, outside of one, the module's mode."""
    run = _visible_run()
    return module.training if run is None else run.training


def is_nobodys() -> bool:
    """Whether the rows that run are nobody's, so that nothing may be remembered of them."""
    run = _visible_run()
    return run is not None and run.nobody


def _visible_run() -> FrameRun | None:
    """The current run; None for a compiler, which cannot look into a context variable."""
    return None if torch.compiler.is_compiling() else _current.get()
