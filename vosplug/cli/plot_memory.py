"""Segments a long synthetic video and records the resident memory, which must be flat once the budget is reached."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.progress import progress_bar
from .common import RANDOM, add_model_arguments, command, new_parser, object_count, open_config, positive_int
from .session_options import VIEWS, add_segmenting_options, open_model, refuse_unused, session_options

OBJECTS = 2


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser, RANDOM)
    parser.add_argument("--out", type=Path, action="append", required=True, metavar="FILE",
                        help=".png (plot), .csv or .json; may be repeated")
    parser.add_argument("--frames", type=positive_int, default=3000, metavar="N", help="length (default 3000)")
    parser.add_argument("--size", type=positive_int, nargs=2, default=(240, 432), metavar=("H", "W"),
                        help="size of the frames (default 240 432)")
    parser.add_argument("--objects", type=object_count, metavar="N", help=f"number of objects (default {OBJECTS})")
    parser.add_argument("--add-at", type=positive_int, metavar="T", help="one more object starts at frame T")
    parser.add_argument("--remove-at", type=positive_int, metavar="T", help="the first object is removed at frame T")
    parser.add_argument("--clip-length", type=positive_int, metavar="T",
                        help="frames per clip, for methods that find instances (default: the model's)")
    parser.add_argument("--settled", type=int, metavar="N",
                        help="frame from which memory should be flat (default: a third of the video)")
    parser.add_argument("--max-growth", type=float, metavar="MIB",
                        help="fail if memory then grows by more than this per 1,000 frames")
    parser.add_argument("--max-slowdown", type=float, metavar="X",
                        help="fail if frames of the last quarter take more than X times as long, in time of the "
                             "processor, as those of the second quarter (medians)")
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run, write the curve, say how much memory grew and time; 1 if one of them grew more than allowed."""
    options = build_parser().parse_args(argv)
    from ..evaluation.families import family_of
    from ..inference.memory_log import MemoryLog, slowdown

    settled = options.frames // 3 if options.settled is None else options.settled
    if options.frames - settled < 2:
        raise InputError(f"--settled {settled} leaves fewer than two of the {options.frames} frames to look at")
    logs = [MemoryLog(path) for path in options.out]
    config = open_config(options)
    family = family_of(config)
    check_options(family, config, options)
    model = open_model(options, config)
    settings = {**session_options(options, config), **family.quiet,
                **(family.at_random if options.checkpoint is None else {})}
    session = family.session(model, **settings)
    seconds: list[float] = []
    with contextlib.ExitStack() as stack:
        for log in logs:
            stack.enter_context(log)
        advance = stack.enter_context(progress_bar("segmenting", options.frames, "frames"))
        for index in segmented(session, family, options, seconds):
            for log in logs:
                log.record(index)
            advance()
    growth = logs[0].growth(settled)
    print(f"{options.frames} frames of {options.size[1]} x {options.size[0]}, {objects_line(options)}: "
          f"{logs[0].values[-1]:.0f} MiB at the end, {growth:+.2f} MiB per 1,000 frames from frame {settled} on")
    failed = options.max_growth is not None and growth > options.max_growth
    if options.max_slowdown is not None:
        slower = slowdown(seconds)
        print(f"a frame of the last quarter takes {slower:.2f} times as long as one of the second (medians)")
        failed |= slower > options.max_slowdown
    for path in options.out:
        print(f"written: {path}")
    return int(failed)


def check_options(family: Any, config: Any, options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for an option that has no meaning for the method, or an event that cannot happen."""
    refuse_unused(options, family, config, (*VIEWS, "add_at", "remove_at", "clip_length", "max_slowdown"))
    if options.max_slowdown is not None and options.frames < 8:
        raise InputError(f"--max-slowdown compares quarters of the video: --frames must be at least 8, got "
                         f"{options.frames}")
    for name in ("add_at", "remove_at"):
        at = getattr(options, name)
        if at is not None and at >= options.frames:
            raise InputError(f"--{name.replace('_', '-')} {at} lies behind the last of the {options.frames} frames")


def segmented(session: Any, family: Any, options: argparse.Namespace, seconds: list[float]) -> Iterator[int]:
    """Segment wandering discs, with the events that are asked for; the index of each frame that is done.

    Args:
        seconds: to which the time of each frame is added, of the processor.
    """
    from ..inference.synthetic_frames import WanderingDiscs

    objects = options.objects or OBJECTS
    discs = WanderingDiscs(options.frames, tuple(options.size), objects + bool(options.add_at))
    for index, image in enumerate(discs):
        if index == options.remove_at:
            session.remove([1])
        prompt = None
        if index in (0, options.add_at):
            labels = discs.labels(index)
            new = labels == objects + 1
            prompt = labels * (new if index else ~new)
        begin = time.process_time()
        family.feed(session, image, prompt)
        seconds.append(time.process_time() - begin)
        yield index


def objects_line(options: argparse.Namespace) -> str:
    """How many objects there are, and what happens to them."""
    events = [f"{what} at frame {at}" for what, at in (("one more", options.add_at), ("one removed", options.remove_at))
              if at is not None]
    return ", ".join([f"{options.objects or OBJECTS} objects", *events])
