"""What scripts that segment a video, or synthetic discs without one, share: the options that say which."""

import argparse
from typing import Any

from vosplug.cli.common import object_count, positive_int
from vosplug.utils.errors import InputError


def add_source_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add what names the frames and the masks of the first one, or size and number of the discs that stand for them."""
    what = dict(nargs="+") if several else {}
    videos = "video files or folders of images" if several else "video file or folder of images"
    parser.add_argument("--video", metavar="PATH", help=f"{videos} (default: synthetic discs)", **what)
    parser.add_argument("--mask", metavar="PNG", **what,
                        help=f"objects of the first frame{', one file per --video' if several else ' of --video'}")
    parser.add_argument("--binary-mask", action="store_true", help="masks are 0/255 foreground masks of one object")
    parser.add_argument("--size", type=positive_int, nargs=2, default=(240, 432), metavar=("H", "W"),
                        help="size of synthetic frames (default 240 432)")
    parser.add_argument("--objects", type=object_count, default=2, metavar="N", help="synthetic objects (default 2)")


def check_source(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` unless each video has its mask."""
    if (options.video is None) != (options.mask is None):
        raise InputError("--video and --mask go together: without both, synthetic discs are segmented")
    if options.binary_mask and options.video is None:
        raise InputError("--binary-mask says how --mask is read: without --video and --mask it has no effect")
    if isinstance(options.video, list) and len(options.video) != len(options.mask):
        raise InputError(f"--video names {len(options.video)} videos but --mask {len(options.mask)} masks")


def open_source(options: argparse.Namespace, video: str | None, *, frames: int | None) -> Any:
    """A reader of (at most ``frames`` frames of) the video; of the discs, whose labels are ``labels(t)``, without."""
    from vosplug.inference.opening import open_reader
    from vosplug.inference.readers import LimitedReader
    from vosplug.inference.synthetic_frames import WanderingDiscs

    if video is None:
        return WanderingDiscs(frames, tuple(options.size), options.objects)
    reader = open_reader(video, prefetch=0)
    return reader if frames is None else LimitedReader(reader, frames)
