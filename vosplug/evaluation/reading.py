"""Finding what is to be scored: sequences and their frames."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..utils.errors import DataError, did_you_mean
from ..utils.listing import masks_in
from ..utils.notices import warn


def choose(known: list[str], wanted: Iterable[str] | None, where: Path) -> list[str]:
    """``known``, or those of it that are wanted.

    Raises:
        DataError: a wanted name is not known, or nothing is left.
    """
    names = list(known)
    if wanted is not None:
        wanted = list(wanted)
        for name in wanted:
            if name not in known:
                raise DataError(f"{where} has no sequence {name!r}.{did_you_mean(name, known)}")
        names = [name for name in known if name in wanted]
    if not names:
        raise DataError(f"{where} has no sequences (folders with one PNG per frame)")
    return names


def need_folder(path: Path, what: str) -> Path:
    """Return ``path``; raise :class:`DataError` naming ``what`` if it is not a folder."""
    if not path.is_dir():
        near = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        raise DataError(f"{what} not found: {path}.{did_you_mean(path.name, near)}")
    return path


def predicted_paths(name: str, folder: Path, frames: Iterable[str],
                    known: Iterable[str] | None = None) -> dict[str, Path]:
    """Path of the predicted mask of every frame.

    Args:
        name: of the sequence.
        folder: of its predictions.
        frames: names of those that are scored.
        known: names of all frames, where they are known: predictions that are numbered in another way are refused.

    Raises:
        DataError: the folder of the sequence, or a frame, is missing; or the names are others than those of the frames.
    """
    need_folder(folder, f"sequence {name}: folder of the predictions")
    found = masks_in(folder)
    if known is not None:
        _check_numbering(name, folder, list(found), list(known))
    frames = list(frames)
    missing = [frame for frame in frames if frame not in found]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"sequence {name}: the prediction of frame {missing[0]} is missing{more}: "
                        f"{folder / missing[0]}.png; predictions are named like the reference frames")
    return {frame: found[frame] for frame in frames}


def _check_numbering(name: str, folder: Path, found: list[str], known: list[str]) -> None:
    """Refuse predictions some of which belong to no frame while frames have none; a few too many get a word."""
    extra = [frame for frame in found if frame not in set(known)]
    missing = [frame for frame in known if frame not in set(found)]
    alike = {re.sub(r"\d+", "0", frame) for frame in known}
    if missing and len(extra) < len(found) and any(re.sub(r"\d+", "0", frame) in alike for frame in extra):
        raise DataError(f"sequence {name}: {folder / extra[0]}.png belongs to no frame of the references, while frame "
                        f"{missing[0]} has no prediction: are the predictions numbered in another way (from 1)?")
    if extra and not missing:
        warn(f"sequence {name}: {len(extra)} predictions belong to no frame of the references ({extra[0]}), and are "
             "not scored")
