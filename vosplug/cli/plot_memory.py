"""Segments a long synthetic video and records the resident memory, which must be flat once the budget is reached."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .common import add_config_options, command, load_config, object_count, positive_int
from .session_options import add_session_options, refuse_options, session_options


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
    parser.add_argument("--objects", type=object_count, metavar="N", help="number of objects (default 2)")
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
    print(f"{options.frames} frames of {options.size[1]} x {options.size[0]}, {options.objects or 2} objects: "
          f"{logs[0].values[-1]:.0f} MiB at the end, {growth:+.2f} MiB per 1,000 frames from frame {settled} on")
    for path in options.out:
        print(f"written: {path}")
    return int(options.max_growth is not None and growth > options.max_growth)


def check_options(config: Any, options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for an option that has no meaning for the method."""
    from ..inference.model_loading import is_vis

    if is_vis(config):
        refuse_options(options, ("max_short_side", "scales", "flip"),
                       "this method finds instances, in frames of test_session.size of the config")
    else:
        refuse_options(options, ("clip_length",), "this method works frame by frame")


def segmented(model: Any, config: Any, options: argparse.Namespace) -> Iterator[int]:
    """Segment the video; the index of each frame that is done."""
    from ..inference.inferencer import VOSInferencer
    from ..inference.model_loading import is_vis, session_defaults
    from ..inference.synthetic_frames import WanderingDiscs
    from ..inference.vis_inferencer import VISInferencer

    discs = WanderingDiscs(options.frames, tuple(options.size), options.objects or 2)
    session = session_options(options, session_defaults(config))
    if not is_vis(config):
        yield from (frame.index for frame, _ in VOSInferencer(model, session_options=session).stream(
            discs, discs.labels(0)))
        return
    if options.clip_length is not None:
        session["clip_length"] = options.clip_length
    if options.checkpoint is None:
        session["min_score"] = 0.0  # random weights find nothing: so that the masks of all tracklets are made
    yield from (frame.index for frame, _ in VISInferencer(model, session_options=session).stream(discs, min_score=0.0))
