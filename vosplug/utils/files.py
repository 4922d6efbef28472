"""Writing files so that a reader never sees half of one, and reading JSON."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import DataError, OutputError


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for binary writing and rename it to ``path`` on success.

    The parent folder is made if it is missing. On any failure the temporary file is removed and a file already
    at ``path`` stays as it was.

    Raises:
        OutputError: the folder or file cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_via(path: str | os.PathLike, save: Callable[[str], Any]) -> None:
    """Call ``save(temporary_name)`` for a library that wants a file name, then rename to ``path``.

    The temporary name keeps the suffix of ``path`` (libraries choose the format by it). If ``save`` returns
    ``False``, as OpenCV's writers do on failure, that counts as a failure.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".vosplug-", dir=path.parent) as folder:
            temporary = os.path.join(folder, "file" + path.suffix)
            if save(temporary) is False:
                raise OutputError(f"cannot write {path}: the encoder refused it; check the suffix and the disk space")
            os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def check_target(path: str | os.PathLike | None) -> None:
    """Raise :class:`OutputError` if a file cannot be written to ``path``: better before a long run than after it.

    Nothing is made. None passes, as the path of an option that was not given.
    """
    if path is None:
        return
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    parent = next(folder for folder in path.absolute().parents if folder.exists() or folder.is_symlink())
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: permission denied")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` as UTF-8 atomically."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as indented JSON atomically. NaN is refused, as JSON has none: pass ``None``."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_json_rows(path: str | os.PathLike, about: Mapping[str, Any], rows: Iterable[Any]) -> None:
    """Write ``about`` and, under ``rows``, a list with one entry per line, atomically: for long tables of numbers."""
    head = "".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)},\n" for key, value in about.items())
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    write_text(path, f'{{\n{head}"rows": [\n{lines}\n]\n}}\n')


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, is not JSON (with line and column), or says something twice: a key of one object.
    """
    try:
        return json.loads(Path(path).read_bytes(), object_pairs_hook=_without_twins)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON (line {error.lineno}, column {error.colno}: {error.msg})") from error
    except RecursionError as error:
        raise DataError(f"{path}: not valid JSON (it is nested too deeply)") from error
    except _TwinError as error:
        raise DataError(f"{path}: {error}, and only one of the two could be used") from error
    except ValueError as error:  # numbers of thousands of digits
        raise DataError(f"{path}: not valid JSON ({error})") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwinError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} comes twice in one object")
    return made


class _TwinError(ValueError):
    """A key twice in one object of JSON."""


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
