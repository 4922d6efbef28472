"""Words of warning about data: what is read as it is, but looks as if something else was meant."""

import contextlib
import contextvars
import logging
import warnings
from collections.abc import Iterator

from .errors import DataWarning

LOGGER = logging.getLogger("vosplug.data")
LOGGER.addHandler(logging.NullHandler())  # for those who keep a log; others read the warning
_listener: contextvars.ContextVar[dict[str, None] | None] = contextvars.ContextVar("listener", default=None)


def warn(text: str) -> None:
    """Say something about data that a user should know, as a warning and in the log; a command says a text once."""
    listener = _listener.get()
    if listener is None:
        LOGGER.warning("%s", text)
        warnings.warn(text, DataWarning, stacklevel=2)
    else:
        listener[" ".join(text.split())] = None


@contextlib.contextmanager
def collected() -> Iterator[dict[str, None]]:
    """Within, in this thread, warnings are collected instead of said: the keys of the dict, in their order."""
    token = _listener.set({})
    try:
        yield _listener.get()
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def as_lines(stream) -> Iterator[None]:
    """Within, warnings about data are one line each on ``stream``, and each text comes once."""
    said: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def write(message, category, filename, lineno, file=None, line=None) -> None:
            if not issubclass(category, DataWarning):
                show(message, category, filename, lineno, file, line)
                return
            text = " ".join(str(message).split())
            if text not in said:
                said.add(text)
                print(f"warning: {text}", file=stream, flush=True)

        warnings.showwarning = write
        warnings.simplefilter("always", DataWarning)
        yield
