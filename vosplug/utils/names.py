"""Names of videos and frames. They become folders and files of the results, so each must be one plain part of a path.

Annotation files, lists and folders come from elsewhere: a video called ``../../x`` would be read, and its results
written, outside of the folders that the user gave.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

from .errors import DataError

RULE = "a name must be one plain part of a path, as it names files and folders of the results"
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of pairs, separators of lines and paragraphs


def name_fault(name: Any) -> str | None:
    """Why a video, sequence or frame cannot have this name; None if it can.

    Refused: what is no text, nothing but dots and spaces (``..`` too), ``/`` and ``\\``, drive letters (``C:``),
    characters that no line of text can show.
    """
    if not isinstance(name, str):
        return f"{name!r} is a {type(name).__name__}, not a text: {RULE}"
    if not name.strip(". "):
        reason = "is empty" if not name else "is nothing but dots and spaces"
    elif "/" in name or "\\" in name:
        reason = "has a '/' or '\\'"
    elif PureWindowsPath(name).drive:
        reason = "begins with the letter of a drive"
    elif any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        reason = "has a control character"
    else:
        return None
    return f"the name {name!r} {reason}: {RULE}"


def check_names(names: Iterable[Any], where: object) -> None:
    """Raise :class:`DataError`, with ``where`` they come from, unless all are names that :func:`name_fault` accepts."""
    for name in names:
        fault = name_fault(name)
        if fault:
            raise DataError(f"{where}: {fault}")


def path_fault(path: Any) -> str | None:
    """Why a path of a picture in the folder of a data set cannot be used; None if all of its parts are plain."""
    parts = path.split("/") if isinstance(path, str) else [path]
    fault = next((fault for part in parts if (fault := name_fault(part))), None)
    return fault and f"the path {path!r} must be relative and stay in the data set: {fault}"


def listed_names(path: Path) -> list[str]:
    """Names in a list as they stand there: one per line, or, as in the first release of DAVIS, two paths per frame.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if any("/" in line for line in lines):
        return list(dict.fromkeys(Path(line.split()[0]).parent.name for line in lines))
    return lines


def read_names(path: Path) -> list[str]:
    """The same, checked.

    Raises:
        DataError: the file cannot be read, or a line is no name.
    """
    names = listed_names(path)
    check_names(names, path)
    return names
