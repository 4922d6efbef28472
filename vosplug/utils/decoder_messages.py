"""Hearing what decoders only print: libjpeg and FFmpeg tell of damaged data on the error channel, and go on anyway."""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.RLock()
_file: int | None = None
_FROM_DECODERS = re.compile(rb"JPEG|SOS|arithmetic|progression|Adobe|Huffman|DCT|^\[OPENCV:FFMPEG"
                            rb"|^\[[\w, ]+ @ 0x[0-9a-f]+\]"
                            rb"|^Truncating packet of size|^overread \d|^Unexpected (element|list type)\. Expected: ")
_HARMLESS = b"JFIF revision number"  # no pixel depends on it


class Messages(list):
    """Lines that a decoder printed."""

    def __str__(self) -> str:
        return "; ".join(self)


@contextlib.contextmanager
def decoder_messages() -> Iterator[Messages]:
    """Within, what decoders print is kept from the error channel; the lines are in the list afterwards.

    The channel is one of the whole process, so threads decode in turns, and what others write to it within comes out
    afterwards, in its order.
    """
    heard = Messages()
    with _lock:
        channel = _channel()
        if channel is None:
            yield heard
            return
        file, before = channel
        try:
            os.dup2(file, 2)
            yield heard
        finally:
            os.dup2(before, 2)
            os.close(before)
            _sort(file, heard)


def _channel() -> tuple[int, int] | None:
    """A file to write to, and the error channel to come back to; None if this process has no such channel."""
    global _file
    try:
        before = os.dup(2)
    except OSError:
        return None
    if _file is None:
        with tempfile.TemporaryFile() as stream:
            _file = os.dup(stream.fileno())
    return _file, before


def _sort(file: int, heard: Messages) -> None:
    """Take the lines of decoders; pass on all others."""
    length = os.lseek(file, 0, os.SEEK_END)
    if not length:
        return
    os.lseek(file, 0, os.SEEK_SET)
    content = os.read(file, length)
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    others = []
    for line in content.splitlines(keepends=True):
        if _HARMLESS in line:
            continue
        if _FROM_DECODERS.search(line):
            heard.append(re.sub(r"^\[[^\]]*\]\s*", "", line.decode("utf-8", "replace")).strip())
        else:
            others.append(line)
    if others:
        with contextlib.suppress(OSError):
            os.write(2, b"".join(others))


def _begin_anew() -> None:
    """After a fork: a file of one's own, and a lock that no thread of the other process holds."""
    global _file, _lock
    _file, _lock = None, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
