"""What lies in a folder: pictures, masks, sequences, and their order. Everything that lists files asks here."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .errors import DataError
from .images import IMAGE_SUFFIXES
from .names import check_names
from .notices import warn

MASK_SUFFIX = ".png"
UNREAD_SUFFIXES = (".tif", ".tiff", ".gif", ".jp2", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".ppm", ".pgm", ".exr",
                   ".dng", ".tga", ".pbm")
"""Pictures that are not read: among others, they are warned about."""
_MASK_OF = re.compile(r"(?:(?P<before>.+?)[-_. ]?(?:mask|gt|seg|label|annotation|anno|matte|alpha)s?"
                      r"|(?:mask|gt|seg|label)s?[-_. ](?P<after>.+))", re.IGNORECASE)


def natural_key(name: str) -> tuple:
    """Sort key by which ``frame10`` comes after ``frame9``: decimal digits, of any script, count as numbers."""
    parts = []
    for part in re.split(r"(\d+)", name):
        if part.isdecimal():
            digits = "".join(str(unicodedata.decimal(digit)) for digit in part).lstrip("0")
            parts.append((len(digits), digits))
        else:
            parts.append((-1, part))
    return tuple(parts), name


def natural_order(names: Iterable[str]) -> list[str]:
    """Names in their order."""
    return sorted(names, key=natural_key)


def pictures_in(folder: str | os.PathLike, *, without: str | None = None) -> list[Path]:
    """The frames in a folder, in their order.

    Args:
        folder: the folder.
        without: name of a file that is no frame, in whatever case.

    Raises:
        DataError: there is none; two have one name, but for suffix or case; one looks like the mask of another; a name
            cannot name a file of the results.
    """
    folder = Path(folder)
    files = [path for path in _files(folder, IMAGE_SUFFIXES)
             if without is None or path.name.lower() != without.lower()]
    if not files:
        raise DataError(f"{folder} has no pictures ({', '.join(IMAGE_SUFFIXES)})")
    named = _by_stem(folder, files, "pictures")
    for stem in named:
        match = _MASK_OF.fullmatch(stem)
        if match and (match["before"] or match["after"]) in named:
            raise DataError(f"{named[stem]} looks like the mask of the picture {match['before'] or match['after']} "
                            "beside it: keep masks in a folder of their own")
    return list(named.values())


def masks_in(folder: str | os.PathLike, *, nothing_else: bool = False) -> dict[str, Path]:
    """PNG files in a folder, by name without suffix, in their order; empty if there is no such folder.

    Args:
        folder: the folder.
        nothing_else: pictures of other formats are refused, as they might be meant as masks.

    Raises:
        DataError: two have one name, but for case; or a name cannot name a file of the results.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    if nothing_else:
        others = [suffix for suffix in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES) if suffix != MASK_SUFFIX]
        wrong = _files(folder, others, complete=False)
        if wrong:
            raise DataError(f"{wrong[0]}: masks have to be PNG files (palette, or grey)")
    return _by_stem(folder, _files(folder, (MASK_SUFFIX,), complete=False), "masks")


def has_pictures(folder: str | os.PathLike, without: str = "") -> bool:
    """Whether there is a picture in a folder, besides the one of that name."""
    return any(path.name.lower() != without.lower() for path in _files(Path(folder), IMAGE_SUFFIXES, complete=False))


def by_stem(folder: str | os.PathLike, suffixes: Sequence[str], what: str = "pictures") -> dict[str, Path]:
    """Files in a folder with one of the suffixes, in whatever case, by name without suffix, in their order.

    Raises:
        DataError: two have one name, but for suffix or case; or a name cannot name a file of the results.
    """
    return _by_stem(Path(folder), _files(Path(folder), suffixes, complete=False), what)


def folders_in(folder: str | os.PathLike) -> list[str]:
    """Names of the folders in a folder, hidden ones apart, in their order."""
    with os.scandir(folder) as entries:
        return natural_order(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def child(folder: str | os.PathLike, name: str) -> Path:
    """``folder/name``, or the entry that is called so but for upper and lower case."""
    folder = Path(folder)
    if (folder / name).exists() or not folder.is_dir():
        return folder / name
    return next((folder / found for found in sorted(os.listdir(folder)) if found.lower() == name.lower()),
                folder / name)


def _files(folder: Path, suffixes: Sequence[str], *, complete: bool = True) -> list[Path]:
    """Files with one of the suffixes in whatever case, in their order; ``complete``: pictures left out get a word."""
    found, unread = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith(".") or suffix not in (*suffixes, *UNREAD_SUFFIXES) or not entry.is_file():
                continue
            (found if suffix in suffixes else unread).append(entry.name)
    if complete and found and unread:
        warn(f"{folder}: {len(unread)} pictures are left out, as their format is not read ({min(unread)})")
    return [folder / name for name in natural_order(found)]


def _by_stem(folder: Path, files: Sequence[Path], what: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in files:
        if path.stem in named:
            raise DataError(f"{folder} has two {what} named {path.stem} ({named[path.stem].name} and {path.name}): "
                            "keep one of them")
        named[path.stem] = path
    check_names(named, folder)
    return named


def number_of(name: str) -> int | None:
    """The number that a name of nothing but decimal digits stands for; None for others."""
    return int(name) if name.isdecimal() and len(name) < 1000 else None


def matching(names: Mapping[str, object] | Iterable[str], number: int) -> list[str]:
    """Those of the names that stand for a number."""
    return [name for name in names if number_of(name) == number]


def runs(numbers: Sequence[int]) -> str:
    """Sorted numbers in words: ``2..99, 101``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("..".join(map(str, run)) for run in found[:4]) + (", ..." if len(found) > 4 else "")
