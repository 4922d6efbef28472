"""J of objects before, while and after they are covered, from folders of masks: does a method find them again?

An object is covered where its visible area in the reference is less than half of its median over the video. Before:
frames ahead of the first such frame; after: frames behind it on which it is seen again. The first frame, which is
given, and the last one are left out, as DAVIS does. Objects that are never covered have a column of their own.
"""

import argparse
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np

from vosplug.cli.common import check_targets, command, named_folder, new_parser, write_numbers
from vosplug.datasets.layout import choose_sequences
from vosplug.evaluation.functional.davis import jaccard
from vosplug.utils.errors import DataError, InputError
from vosplug.utils.mask_kinds import present
from vosplug.utils.masks import read_mask

PHASES = ("before", "while", "after", "never covered")
SHARE = 0.5  # of its median area, under which an object is covered


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("reference", type=Path, help="folder of reference masks: VIDEO/FRAME.png")
    parser.add_argument("rows", nargs="+", metavar="NAME=MASKS",
                        help="folder of masks (of tools/test.py --out DIR), laid out alike, and what to call it; "
                             "those of one name, of several seeds, are pooled")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these videos")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Score, print a table, write the numbers."""
    options = build_parser().parse_args(argv)
    check_targets(options.json)
    rows = [named_folder(row) for row in options.rows]
    videos = sorted(path for path in options.reference.glob("*") if path.is_dir())
    if not videos:
        raise InputError(f"{options.reference}: a folder of reference masks, VIDEO/FRAME.png, was expected")
    chosen = choose_sequences([path.name for path in videos], options.sequences, str(options.reference))
    videos = [options.reference / name for name in chosen]
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name, _ in rows}
    for video in videos:
        reference = read_video(video, sorted(path.name for path in video.glob("*.png")))
        ids = set().union(*map(present, reference.values()))
        for name, folder in rows:
            add_scores(found[name], reference, read_video(folder / video.name, list(reference), ids))
    result = {name: {phase: {"J": float(np.mean(values)) if values else None, "frames": len(values)}
                     for phase in PHASES for values in [scores[phase]]} for name, scores in found.items()}
    write_numbers(options.json, {"videos": len(videos), "share": SHARE, "rows": result})
    print_table(result, len(videos))
    return 0


def read_video(folder: Path, names: Sequence[str], ids: Collection[int] = ()) -> dict[str, np.ndarray]:
    """Label maps (H, W) of a video by the names of their files."""
    lacking = next((name for name in names if not (folder / name).is_file()), None)
    if lacking is not None or not names:
        raise DataError(f"{folder}: {lacking or 'any mask'} is missing")
    return {name: read_mask(folder / name, ids=ids) for name in names}


def covered(areas: np.ndarray) -> np.ndarray:
    """Where an object of so many visible pixels per frame (T,) is covered, (T,) bool."""
    return areas < SHARE * np.median(areas)


def phases(areas: np.ndarray) -> list[str]:
    """The phase of each frame."""
    hidden = covered(areas)
    if not hidden.any():
        return ["never covered"] * len(areas)
    first = int(hidden.argmax())
    return ["while" if under else "before" if t < first else "after" for t, under in enumerate(hidden)]


def add_scores(scores: Mapping[str, list[float]], reference: Mapping[str, np.ndarray],
               prediction: Mapping[str, np.ndarray]) -> None:
    """J of all objects of the first frame, on the frames that count, to the lists of their phases."""
    frames = list(reference)
    for value in (int(v) for v in np.unique(reference[frames[0]]) if v):
        areas = np.array([(reference[name] == value).sum() for name in frames])
        for name, phase in list(zip(frames, phases(areas), strict=True))[1:-1]:
            ours, theirs = prediction[name] == value, reference[name] == value
            if ours.shape != theirs.shape:
                raise DataError(f"{name}: masks of {ours.shape} and of {theirs.shape} pixels cannot be compared")
            scores[phase].append(jaccard(int((ours & theirs).sum()), int((ours | theirs).sum())))


def print_table(result: Mapping[str, Mapping[str, Mapping]], videos: int) -> None:
    """A row per method, J in per cent, and the number of frames per column."""
    from rich.console import Console
    from rich.table import Table

    counts = next(iter(result.values()))
    table = Table("", *(f"{phase} ({counts[phase]['frames']} frames)" for phase in PHASES), title_justify="left",
                  title=f"J in per cent, objects of {videos} videos before, while and after they are covered")
    for name, row in result.items():
        table.add_row(name, *("-" if row[phase]["J"] is None else f"{100 * row[phase]['J']:.1f}" for phase in PHASES))
    Console(width=120).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
