"""Starting worker processes."""

import contextlib
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Processes that are started within never see Ctrl-C; this one gets it at the end of the block.

    Ctrl-C goes to all processes of a terminal. Workers that are still importing would print tracebacks; this process
    is the one that tells them to stop.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it is started with the first worker, and would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
