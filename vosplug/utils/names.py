"""Names of videos and frames. They become folders and files of the results, so each must be one plain part of a path.

Annotation files, lists and folders come from elsewhere: a video called ``../../x`` would be read, and its results
written, outside of the folders that the user gave.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from .errors import DataError

RULE = "a name must be one plain part of a path, as it names files and folders of the results"
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of pairs, separators of lines and paragraphs

_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_FIRST_PATH = re.compile(r".*?\.(?:jpe?g|png)(?=\s|$)|\S*", re.IGNORECASE)


def name_fault(name: Any) -> str | None:
    """Why a video, sequence or frame cannot have this name; None if it can.

    Refused: what is no text, nothing but dots and spaces (``..`` too), ``/`` and ``\\``, drive letters (``C:``),
    characters that no line of text can show.
    """
    if isinstance(name, str) and _PLAIN.fullmatch(name):
        return None
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


def folded(name: str) -> str:
    """What a name is on a file system that takes no account of case and of forms of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


def name_faults(names: Iterable[Any]) -> Iterator[str]:
    """What is wrong with names that are used together: each fault of :func:`name_fault`, and twins but for case."""
    known: dict[str, str] = {}
    for name in names:
        fault = name_fault(name)
        if fault is not None:
            yield fault
            continue
        twin = known.setdefault(folded(name), name)
        if twin != name:
            yield f"the names {twin!r} and {name!r} differ in upper and lower case only, so their results could not " \
                  "be kept apart everywhere"


def check_names(names: Iterable[Any], where: object) -> None:
    """Raise :class:`DataError`, with ``where`` they come from, for the first of :func:`name_faults`."""
    for fault in name_faults(names):
        raise DataError(f"{where}: {fault}")


def path_fault(path: Any) -> str | None:
    """Why a path of a picture in the folder of a data set cannot be used; None if all of its parts are plain."""
    parts = path.split("/") if isinstance(path, str) else [path]
    fault = next((fault for part in parts if (fault := name_fault(part))), None)
    return fault and f"the path {path!r} must be relative and stay in the data set: {fault}"


def listed_names(path: Path) -> list[str]:
    """Names in a list as they stand there, one per line; empty lines and comments (``#``) do not count.

    Lines may also be as in the first release of DAVIS, with two paths per frame, picture and mask: then the name is
    that of the folder, once for all frames of it.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") and len(data) > 2 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if any("/" in line for line in lines):
        return list(dict.fromkeys(Path(_FIRST_PATH.match(line)[0]).parent.name for line in lines))
    return lines


def read_names(path: Path) -> list[str]:
    """The same, checked.

    Raises:
        DataError: the file cannot be read, a line is no name, or one comes twice.
    """
    names = listed_names(path)
    check_names(names, path)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: lists {next(name for name in names if names.count(name) > 1)} twice")
    return names
