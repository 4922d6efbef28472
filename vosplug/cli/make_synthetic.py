"""Make a synthetic data set in the DAVIS, YouTube-VOS and YouTube-VIS layouts."""

import argparse
import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..datasets.synthetic.layouts import YOUTUBE_VOS_STEP, VideoRecord
from ..datasets.synthetic.options import SyntheticOptions
from ..datasets.synthetic.writer import check_target, write_dataset
from ..utils.errors import ConfigError, InputError
from ..utils.progress import progress_bar
from .common import command, new_parser, positive_int

_SMALL_JOB = 12 * 60 * 240 * 432  # pixels; below, starting processes takes longer than they save


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(
        "Write synthetic videos (textured, deforming, overlapping objects over moving backgrounds) with "
        "exact masks: OUT/davis, OUT/youtube_vos and OUT/youtube_vis hold the same videos.")
    parser.add_argument("out", metavar="OUT", help="folder to write; new, empty or written by this command")
    parser.add_argument("--videos", type=positive_int, default=12, help="number of videos (default 12)")
    parser.add_argument("--size", type=positive_int, nargs=2, default=(240, 432), metavar=("H", "W"),
                        help="size of the pictures (default 240 432)")
    parser.add_argument("--frames", type=positive_int, default=30, help="frames per video (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default 0)")
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--split-val", type=float, metavar="FRACTION", help="share for validation (default one third)")
    split.add_argument("--val", type=int, metavar="N", help="number of videos for validation")
    parser.add_argument("--workers", type=positive_int, help="processes (default: by the size of the job)")
    parser.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE",
                        help="knobs of the generator, for example motion=2 objects=2,4 (see docs/synthetic.md)")
    parser.add_argument("--overwrite", action="store_true",
                        help="write into a folder that holds other things; replaces only the three layouts")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = build_parser().parse_args(argv)
    val = validation_count(args.videos, args.val, args.split_val)
    options = SyntheticOptions.make(parse_options(args.options))
    check_target(Path(args.out), args.overwrite)
    pixels = args.videos * args.frames * args.size[0] * args.size[1]
    workers = args.workers or (1 if pixels < _SMALL_JOB else min(os.cpu_count() or 1, 8))
    console = Console()
    with progress_bar("videos", args.videos, console=console) as advance:
        records = write_dataset(args.out, videos=args.videos, val=val, size=tuple(args.size), frames=args.frames,
                                seed=args.seed, workers=workers, options=options, overwrite=args.overwrite,
                                progress=lambda record: advance())
    console.print(summary(records))
    console.print(f"written to {args.out}", highlight=False, soft_wrap=True)
    return 0


def validation_count(videos: int, count: int | None, share: float | None) -> int:
    """Number of validation videos by ``--val`` or ``--split-val``; by default a third, at least one of two or more.

    Raises:
        InputError: out of range.
    """
    if count is not None:
        if not 0 <= count <= videos:
            raise InputError(f"--val must lie in 0..{videos} (the number of videos), got {count}")
        return count
    if share is not None:
        if not 0 <= share <= 1:
            raise InputError(f"--split-val must lie in 0..1, got {share}")
        return round(videos * share)
    return max(1, round(videos / 3)) if videos > 1 else 0


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``KEY=VALUE`` strings into a dict; values are Python literals, comma lists, or plain words.

    Raises:
        ConfigError: no ``=`` in a string.
    """
    values = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigError(f"--options takes KEY=VALUE, got {pair!r}")
        try:
            values[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[key] = tuple(text.split(",")) if "," in text else text
    return values


def summary(records: Sequence[VideoRecord]) -> Table:
    """Videos, pictures and objects of each layout and split."""
    table = Table("layout", "split", "videos", "pictures", "objects", "entering late")
    for split in ("train", "val"):
        part = [r for r in records if r.task.split == split]
        for layout, count in (("DAVIS", _davis_row), ("YouTube-VOS", _vos_row), ("YouTube-VIS", _vis_row)):
            table.add_row(layout, split, str(len(part)), *(str(sum(v)) for v in zip(*map(count, part), strict=True))
                          if part else ("0", "0", "0"))
    return table


def _davis_row(record: VideoRecord) -> tuple[int, int, int]:
    return record.task.num_frames, len(record.davis_ids), 0


def _vos_row(record: VideoRecord) -> tuple[int, int, int]:
    late = sum(frames[0] > 0 for frames in record.vos_frames.values())
    return -(-record.task.num_frames // YOUTUBE_VOS_STEP), len(record.vos_frames), late


def _vis_row(record: VideoRecord) -> tuple[int, int, int]:
    return record.task.num_frames, len(record.tracks), sum(track[0] is None for track in record.tracks.values())
