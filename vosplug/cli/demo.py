"""Segments a video and writes an overlay video, masks or JSON: objects of a given mask, or the instances it shows."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.progress import progress_bar
from .common import check_targets, choose_shipped, command, new_parser, open_config, positive_int
from .session_options import VIEWS, add_segmenting_options, refuse_unused, session_options

OF_SOME = ("mask", "binary_mask", "skip_known_ids", "correct", "show_gate", *VIEWS, "min_score", "clip_length",
           "classes")
"""Options that not every family of models uses."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.set_defaults(config=None, checkpoint=None, input=None)  # of what is given, see read_arguments
    parser.usage = "%(prog)s [CONFIG CHECKPOINT] INPUT --out PATH [options]"
    parser.add_argument("given", nargs="+", metavar="[CONFIG CHECKPOINT] INPUT",
                        help="INPUT: video file, folder of images, or number of a camera. CONFIG (a file, or the name "
                             "of one that comes with vosplug) and its weights before it; without them the model that "
                             "comes with vosplug is used")
    parser.add_argument("--out", required=True, action="append", metavar="PATH",
                        help="overlay video (.mp4), folder (palette PNGs) or .json (run-length codes); may be repeated")
    parser.add_argument("--max-frames", type=positive_int, metavar="N", help="stop after N frames")
    parser.add_argument("--by-time", action="store_true",
                        help="video files: number frames by their times, and go on where some are missing or damaged")
    parser.add_argument("--prefetch", type=int, default=4, metavar="N", help="frames to read ahead (default 4)")
    parser.add_argument("--memory-log", type=Path, metavar="FILE",
                        help="record the resident memory per frame: .csv, .json, or .png for a plot")
    group = parser.add_argument_group("methods that follow given objects")
    group.add_argument("--mask", help="PNG for the first frame, or folder of PNGs named like the frames in which "
                                      "objects start; needed")
    group.add_argument("--binary-mask", action="store_true", help="masks are 0/255 foreground masks of one object")
    known = group.add_mutually_exclusive_group()
    known.add_argument("--skip-known-ids", action="store_true",
                       help="ignore ids of later masks that are tracked already, instead of refusing them")
    known.add_argument("--correct", action="store_true",
                       help="later masks of ids that are tracked already replace what was predicted, from there on")
    group.add_argument("--show-gate", action="store_true",
                       help="write into the overlay video which objects a reuse gate reused on each frame")
    group = parser.add_argument_group("methods that find instances (EfficientVIS)")
    group.add_argument("--min-score", type=float, metavar="S",
                       help="show tracks whose mean class score is at least this (default 0.3)")
    group.add_argument("--clip-length", type=positive_int, metavar="T", help="frames per clip (default: the model's)")
    group.add_argument("--classes", type=Path, metavar="FILE",
                       help="names of the classes: a text file, one per line, or an annotation file of YouTube-VIS "
                            "(default: those in the checkpoint)")
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment the video; say at the end what was written and how fast."""
    options = read_arguments(argv)
    if options.prefetch < 0:
        raise InputError(f"--prefetch must be at least 0, got {options.prefetch}")
    check_targets(options.memory_log)
    from ..evaluation.families import family_of
    from ..inference.memory_log import MemoryLog

    log = None if options.memory_log is None else MemoryLog(options.memory_log)
    config = open_config(options)
    family = family_of(config)
    check_options(options, config, family)
    reader = limited_reader(options)
    segment = build_inferencer(config, options, family)
    with contextlib.ExitStack() as stack:
        if log is not None:
            stack.enter_context(log)
        advance = stack.enter_context(progress_bar("segmenting", reader.num_frames, "frames"))

        def on_frame(frame: Any, result: Any) -> None:
            advance()
            if log is not None:
                log.record(frame.index)

        out = outputs(segment, reader, options, stack)
        summary = segment(reader, out=out, prefetch=options.prefetch, on_frame=on_frame,
                          **call_options(options, family))
    print_summary(summary, options)
    return 0


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options, with ``config``, ``checkpoint`` and ``input``, wherever they stand among the others.

    Raises:
        InputError: neither INPUT alone nor all three are given.
    """
    options = build_parser().parse_intermixed_args(argv)
    if len(options.given) not in (1, 3):
        raise InputError("INPUT is needed, or CONFIG CHECKPOINT INPUT; got "
                         f"{len(options.given)} arguments: {' '.join(options.given)}")
    options.config, options.checkpoint, options.input = (*[None] * 2, *options.given)[-3:]
    choose_shipped(options)
    return options


def check_options(options: argparse.Namespace, config: Any, family: Any) -> None:
    """Raise :class:`InputError` if an option is missing, or has no meaning for the method."""
    from ..inference.model_loading import method_of

    refuse_unused(options, family, config, OF_SOME)
    if options.min_score is not None and not 0 <= options.min_score <= 1:
        raise InputError(f"--min-score must lie in 0..1, got {options.min_score}")
    for name, reason in family.needed.items():
        if getattr(options, name) is None:
            raise InputError(f"--{name} is needed: {reason.format(method=method_of(config))}")


def outputs(segment: Any, reader: Any, options: argparse.Namespace, stack: contextlib.ExitStack) -> list:
    """Where results go; overlay videos show what the gate does, if that is asked for."""
    if not options.show_gate:
        return options.out
    from ..inference.gate_marks import gate_marks
    from ..inference.video_writer import SUFFIXES, OverlayVideoWriter

    videos = [path for path in options.out if Path(path).suffix.lower() in SUFFIXES]
    if not videos:
        raise InputError(f"--show-gate needs an overlay video: --out with one of {', '.join(SUFFIXES)}")
    marks = stack.enter_context(gate_marks(segment.model))
    return [OverlayVideoWriter(path, fps=reader.fps, decorate=marks.draw) if path in videos else path
            for path in options.out]


def limited_reader(options: argparse.Namespace) -> Any:
    """The input, up to ``--max-frames``."""
    from ..inference.opening import open_reader
    from ..inference.readers import LimitedReader

    reader = open_reader(options.input, prefetch=0, by_time=options.by_time)
    return reader if options.max_frames is None else LimitedReader(reader, options.max_frames)


def build_inferencer(config: Any, options: argparse.Namespace, family: Any) -> Callable[..., Any]:
    """What segments the input."""
    from ..engine.processes import pick_device

    named = {} if options.classes is None else {"classes": read_classes(options.classes)}
    return family.inferencer(config, options.checkpoint, device=pick_device(options.device),
                             session_options=session_options(options, config), **named)


def call_options(options: argparse.Namespace, family: Any) -> dict[str, Any]:
    """What the inferencer of the family is called with: the options that were given."""
    given = {"mask": options.mask, "binary": options.binary_mask or None, "min_score": options.min_score,
             "known_ids": "skip" if options.skip_known_ids else "correct" if options.correct else None}
    return {**family.brief, **{name: value for name, value in given.items() if value is not None}}


def read_classes(path: Path) -> list[str]:
    """Names of classes of a text file, or of the categories of an annotation file in the order of their ids.

    Raises:
        InputError: the file cannot be read, or names nothing.
        DataError: it is an annotation file with a fault.
    """
    if path.suffix.lower() == ".json":
        from ..utils.vis_json import read_vis_file

        return list(read_vis_file(path).categories.values())
    try:
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--classes {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not names:
        raise InputError(f"--classes {path} names no class: one name per line is expected")
    return names


def print_summary(summary: Any, options: argparse.Namespace) -> None:
    """The last lines: what was done, how fast, and where it is."""
    if not summary.frames:
        print("the input gave no frame: nothing was written")
        return
    height, width = summary.size
    tracks = getattr(summary, "tracks", None)
    found = f"{len(summary.ids)} objects" if tracks is None else f"{len(tracks)} tracks"
    print(f"{summary.frames} frames of {width} x {height}, {found}, {summary.fps:.2f} frames per second in the model")
    if tracks:
        print_tracks(tracks)
    for path in (*options.out, *([options.memory_log] if options.memory_log else [])):
        print(f"written: {path}")


def print_tracks(tracks: list[dict]) -> None:
    """A table of tracks, best first."""
    from rich.console import Console
    from rich.table import Table

    table = Table("track", "category", "score", "frames", "first", "last")
    for track in tracks:
        table.add_row(str(track["id"]), track["category"], f"{track['score']:.3f}",
                      *(str(track[key]) for key in ("frames", "first", "last")))
    Console().print(table)
