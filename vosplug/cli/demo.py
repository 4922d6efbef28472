"""Segments a video, starting from a mask of its first frame, and writes an overlay video, masks or JSON."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .common import add_config_options, check_targets, command, load_config, positive_int
from .session_options import add_session_options, session_options


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or the name of one that comes with vosplug")
    parser.add_argument("checkpoint", help="weights")
    parser.add_argument("input", help="video file, folder of images, or number of a camera")
    parser.add_argument("--mask", required=True,
                        help="PNG for the first frame, or folder of PNGs named like the frames in which objects start")
    parser.add_argument("--out", required=True, action="append", metavar="PATH",
                        help="overlay video (.mp4), folder (palette PNGs) or .json (run-length codes); may be repeated")
    parser.add_argument("--binary-mask", action="store_true", help="masks are 0/255 foreground masks of one object")
    parser.add_argument("--skip-known-ids", action="store_true",
                        help="ignore ids of later masks that are tracked already, instead of refusing them")
    parser.add_argument("--max-frames", type=positive_int, metavar="N", help="stop after N frames")
    parser.add_argument("--prefetch", type=int, default=4, metavar="N", help="frames to read ahead (default 4)")
    parser.add_argument("--memory-log", type=Path, metavar="FILE",
                        help="record the resident memory per frame: .csv, .json, or .png for a plot")
    add_session_options(parser)
    add_config_options(parser, data_root=False, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment the video; say at the end what was written and how fast."""
    options = build_parser().parse_args(argv)
    if options.prefetch < 0:
        raise InputError(f"--prefetch must be at least 0, got {options.prefetch}")
    check_targets(options.memory_log)
    from ..engine.processes import pick_device
    from ..inference.inferencer import VOSInferencer
    from ..inference.memory_log import MemoryLog
    from ..inference.model_loading import session_defaults
    from ..inference.opening import open_reader

    log = None if options.memory_log is None else MemoryLog(options.memory_log)
    config = load_config(options.config, cfg_options=options.cfg_options, plugins=options.plugins)
    reader = open_reader(options.input, prefetch=0)
    if options.max_frames is not None:
        from ..inference.readers import LimitedReader

        reader = LimitedReader(reader, options.max_frames)
    inferencer = VOSInferencer(config, options.checkpoint, device=pick_device(options.device),
                               session_options=session_options(options, session_defaults(config)))
    with contextlib.ExitStack() as stack:
        if log is not None:
            stack.enter_context(log)
        advance = stack.enter_context(progress_bar(reader.num_frames))

        def on_frame(frame: Any, labels: Any) -> None:
            advance()
            if log is not None:
                log.record(frame.index)

        summary = inferencer(reader, options.mask, out=options.out, prefetch=options.prefetch,
                             binary=options.binary_mask, on_frame=on_frame,
                             known_ids="skip" if options.skip_known_ids else "refuse")
    print_summary(summary, options)
    return 0


@contextlib.contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[[], None]]:
    """A bar (or a counter, where the number of frames is unknown); gives the function that moves it on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("segmenting"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("segmenting", total=total)
        yield lambda: bar.advance(task)


def print_summary(summary: Any, options: argparse.Namespace) -> None:
    """The last lines: what was done, how fast, and where it is."""
    if not summary.frames:
        print("the input gave no frame: nothing was written")
        return
    height, width = summary.size
    print(f"{summary.frames} frames of {width} x {height}, {len(summary.ids)} objects, "
          f"{summary.fps:.2f} frames per second in the model")
    for path in (*options.out, *([options.memory_log] if options.memory_log else [])):
        print(f"written: {path}")
