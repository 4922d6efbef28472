"""Reading masks for scoring and finding the frames of a folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.errors import DataError, did_you_mean
from ..utils.masks import read_mask


def read_ids(path: Path, binary: bool = False) -> np.ndarray:
    """Read a mask as :func:`vosplug.utils.masks.read_mask` does, with the same refusals, in half the time.

    An 8-bit index PNG is the usual case and needs none of the checks that grey files need; all other files, faulty
    ones included, are left to ``read_mask``.

    Returns:
        (H, W) uint8, possibly read-only.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "P":
                labels = np.asarray(image)
                return (labels > 0).view(np.uint8) if binary else labels
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        pass  # read_mask names the fault
    return read_mask(path, binary=binary)


def list_frames(folder: Path) -> dict[str, Path]:
    """PNG files of a folder: name of the frame -> path, sorted by name."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith("."))
    return {path.stem: path for path in paths}


def list_sequences(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, hidden ones apart, sorted."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


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


def predicted_paths(name: str, folder: Path, frames: Iterable[str]) -> dict[str, Path]:
    """Path of the predicted mask of every frame.

    Raises:
        DataError: the folder of the sequence, or a frame, is missing.
    """
    need_folder(folder, f"sequence {name}: folder of the predictions")
    found = list_frames(folder)
    frames = list(frames)
    missing = [frame for frame in frames if frame not in found]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"sequence {name}: the prediction of frame {missing[0]} is missing{more}: "
                        f"{folder / missing[0]}.png; predictions are named like the reference frames")
    return {frame: found[frame] for frame in frames}
