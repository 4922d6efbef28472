"""Small helpers that every folder layout needs; each failure names the path and the layout that was expected."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..utils.errors import ConfigError, DataError, did_you_mean


def need_folder(path: str | Path, layout: str) -> Path:
    """Return ``path`` as a Path.

    Raises:
        DataError: it is not a folder; the message has the name of a similar neighbour, if any, and ``layout``.
    """
    path = Path(path)
    if path.is_dir():
        return path
    neighbours = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    raise DataError(f"folder not found: {path}.{did_you_mean(path.name, neighbours)} Expected layout: {layout}")


def need_file(path: str | Path, layout: str) -> Path:
    """Return ``path`` as a Path, or raise :class:`DataError` as :func:`need_folder` does."""
    path = Path(path)
    if path.is_file():
        return path
    neighbours = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    raise DataError(f"file not found: {path}.{did_you_mean(path.name, neighbours)} Expected layout: {layout}")


def check_choice(option: str, value: Any, known: Sequence[Any]) -> None:
    """Raise :class:`ConfigError` with a suggestion if ``value`` is not one of ``known``."""
    if value not in known:
        raise ConfigError(f"unknown {option} {value!r}.{did_you_mean(value, known)} "
                          f"Known: {', '.join(str(k) for k in known)}.")


def choose_sequences(names: Sequence[str], sequences: Iterable[str] | None, where: str) -> list[str]:
    """``names``, or those of them that ``sequences`` lists, in the order of ``names``.

    Raises:
        ConfigError: ``sequences`` is empty or lists a name that does not exist.
    """
    if sequences is None:
        return list(names)
    wanted = list(sequences)
    if not wanted:
        raise ConfigError(f"sequences=[] selects nothing of {where}; leave it out to take all")
    for name in wanted:
        if name not in names:
            raise ConfigError(f"{where} has no sequence {name!r}.{did_you_mean(name, names)}")
    return [name for name in names if name in set(wanted)]
