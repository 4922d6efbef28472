"""Ctrl-C and SIGTERM: ends that somebody asks for, after which nothing that was computed may be lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

HAS_MASKS = hasattr(signal, "pthread_sigmask")  # Windows has none


class Terminated(KeyboardInterrupt):
    """SIGTERM (``docker stop``, ``timeout``, a batch system whose time is up): it ends the work as Ctrl-C does."""


def can_be_set(number: int) -> bool:
    """Whether what a signal does may be changed and restored: in the main thread, unless the signal is ignored."""
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(number) not in (signal.SIG_IGN, None)  # None: set by other code than Python's


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Within, SIGTERM raises :class:`Terminated`; further ones (``timeout`` sends two) are ignored."""
    if not can_be_set(signal.SIGTERM):
        yield
        return

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class HeldInterrupts:
    """Within, Ctrl-C and SIGTERM wait for a point at which all is consistent: the caller asks and calls :meth:`end`.

    A second Ctrl-C ends the work at once. What waits at the end of the block is raised there.

    Attributes:
        number: of the signal that waits, 0 if none does.
    """

    def __init__(self):
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "HeldInterrupts":
        self._hold()
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        self._release()
        if self.number and kind is None:
            self.end()

    def end(self) -> None:
        """Raise what waits."""
        raise Terminated if self.number == signal.SIGTERM else KeyboardInterrupt

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Within, signals do at once what they did before they were held; one that waits is raised."""
        self._release()
        try:
            if self.number:
                self.end()
            yield
        finally:
            self._hold()

    def _hold(self) -> None:
        for number in filter(can_be_set, (signal.SIGINT, signal.SIGTERM)):
            self._before[number] = signal.signal(number, self._note)

    def _release(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: Any) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number


@contextlib.contextmanager
def starting_workers() -> Iterator[None]:
    """Within, SIGTERM is blocked in this thread, and so in worker processes that it starts until they are ready for it.

    They are in :func:`leave_interrupts_to_parent`; before, torch would end a worker by it.
    """
    if not HAS_MASKS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_parent() -> None:
    """For a worker process: Ctrl-C, and the first SIGTERM, which come to all processes of a job, are the parent's.

    It ends its workers when it has saved; a second SIGTERM ends the worker.
    """
    def survive(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, survive)
    if HAS_MASKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
