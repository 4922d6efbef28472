"""One frame on its way through a model: what was decided beforehand, whose rows run now, and what was done."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..structures.rows import Rows
from ..structures.state import VideoState

_current: ContextVar["FrameRun | None"] = ContextVar("frame_run", default=None)


@dataclass(eq=False)
class FrameRun:
    """What layers, gates and heads know of the frame that they work on; a context in which it is the current one.

    Attributes:
        state: of the video.
        prompted: masks are given for this frame.
        last: no frame follows.
        training: the model learns from this frame.
        plan: what frame policies decided beforehand.
        started: rows that began at this frame.
        labels: (B, H, W) int64 in training.
        notes: what was done.
        rows: whose rows object-wise layers run now; None where nobody said so.
        nobody: the rows that run now are nobody's (augmented samples): nothing of the video goes with them.
        shared: what parts found out on this frame and others can use.
    """

    state: VideoState
    prompted: bool = False
    last: bool = False
    training: bool = False
    plan: dict[str, Any] = field(default_factory=dict)
    started: Rows | None = None
    labels: Tensor | None = None
    notes: list[Any] = field(default_factory=list)
    rows: Rows | None = None
    nobody: bool = False
    shared: dict[Any, Any] = field(default_factory=dict)

    def note(self, what: Any) -> None:
        """Append a note."""
        self.notes.append(what)

    @contextmanager
    def whose(self, rows: Rows | None) -> Iterator[None]:
        """Say whose rows run inside; None: nobody's."""
        before = self.rows, self.nobody
        self.rows, self.nobody = rows, rows is None
        try:
            yield
        finally:
            self.rows, self.nobody = before

    @contextmanager
    def working(self) -> Iterator["FrameRun"]:
        """Make this run the current one inside."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


def current_run() -> FrameRun | None:
    """The run of the frame that is being worked on, None outside of a frame loop."""
    return _current.get()


def is_training(module: nn.Module) -> bool:
    """Whether ``module`` learns now: what the run says, and outside of any run the module's own mode."""
    run = current_run()
    return module.training if run is None else run.training
