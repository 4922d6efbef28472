"""Segments a long synthetic video and records the resident memory, which must be flat once the budget is reached."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .common import add_config_options, command, load_config, object_count, positive_int
from .session_options import VIEWS, add_session_options, refuse_options, session_options

OBJECTS = 2

def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or the name of one that comes with vosplug")
    parser.add_argument("checkpoint", nargs="?", help="weights; random ones (seed 0) without")
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
    add_session_options(parser)
    add_config_options(parser, data_root=False, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run, write the curve, say how much memory grew; 1 if it grew more than allowed."""
    options = build_parser().parse_args(argv)
    from ..engine.processes import pick_device
    from ..inference.memory_log import MemoryLog
    from ..inference.model_loading import build_segmentor
    from .demo import progress_bar

    settled = options.frames // 3 if options.settled is None else options.settled
    if options.frames - settled < 2:
        raise InputError(f"--settled {settled} leaves fewer than two of the {options.frames} frames to look at")
    logs = [MemoryLog(path) for path in options.out]
    config = load_config(options.config, cfg_options=options.cfg_options, plugins=options.plugins)
    check_options(config, options)
    model = build_segmentor(config, options.checkpoint, device=pick_device(options.device), seed=0)
    with contextlib.ExitStack() as stack:
        for log in logs:
            stack.enter_context(log)
        advance = stack.enter_context(progress_bar(options.frames))
        for index in segmented(model, config, options):
            for log in logs:
                log.record(index)
            advance()
    growth = logs[0].growth(settled)
    print(f"{options.frames} frames of {options.size[1]} x {options.size[0]}, {objects_line(options)}: "
          f"{logs[0].values[-1]:.0f} MiB at the end, {growth:+.2f} MiB per 1,000 frames from frame {settled} on")
    for path in options.out:
        print(f"written: {path}")
    return int(options.max_growth is not None and growth > options.max_growth)


def check_options(config: Any, options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for an option that has no meaning for the method, or an event that cannot happen."""
    from ..inference.model_loading import is_vis

    if is_vis(config):
        refuse_options(options, VIEWS, "this method finds instances, in frames of test_session.size of the config")
        refuse_options(options, ("add_at", "remove_at"), "this method finds instances by itself")
    else:
        refuse_options(options, ("clip_length",), "this method works frame by frame")
    for name in ("add_at", "remove_at"):
        at = getattr(options, name)
        if at is not None and at >= options.frames:
            raise InputError(f"--{name.replace('_', '-')} {at} lies behind the last of the {options.frames} frames")


def segmented(model: Any, config: Any, options: argparse.Namespace) -> Iterator[int]:
    """Segment wandering discs; the index of each frame that is done."""
    from ..inference.model_loading import is_vis, session_defaults
    from ..inference.session import new_session

    session = session_options(options, session_defaults(config))
    if is_vis(config):
        return found_discs(model, session, options)
    return followed_discs(new_session(model, **session), options)


def found_discs(model: Any, session: dict, options: argparse.Namespace) -> Iterator[int]:
    """Find the instances of the video, clip by clip."""
    from ..inference.synthetic_frames import WanderingDiscs
    from ..inference.vis_inferencer import VISInferencer

    if options.clip_length is not None:
        session["clip_length"] = options.clip_length
    if options.checkpoint is None:
        session["min_score"] = 0.0  # random weights find nothing: so that the masks of all tracklets are made
    discs = WanderingDiscs(options.frames, tuple(options.size), options.objects or OBJECTS)
    yield from (frame.index for frame, _ in VISInferencer(model, session_options=session).stream(discs, min_score=0.0))


def followed_discs(session: Any, options: argparse.Namespace) -> Iterator[int]:
    """Follow the objects of the first frame, with the events that are asked for."""
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
        session.step(image, prompt)
        yield index


def objects_line(options: argparse.Namespace) -> str:
    """How many objects there are, and what happens to them."""
    events = [f"{what} at frame {at}" for what, at in (("one more", options.add_at), ("one removed", options.remove_at))
              if at is not None]
    return ", ".join([f"{options.objects or OBJECTS} objects", *events])
