"""Options of a session, shared by the commands that segment videos."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..utils.amp import AMP_NAMES, AUTO
from ..utils.errors import InputError

LIMITS = ("max_short_side", "max_long_side")
VIEWS = (*LIMITS, "scales", "flip")
"""Options that say at which sizes and how often a frame is segmented; not every family of models takes them."""


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :class:`~vosplug.inference.VOSSession` takes."""
    group = parser.add_argument_group("inference")
    group.add_argument("--max-short-side", type=int, metavar="N",
                       help="segment larger frames at this short side; masks come back at native size (0: no limit)")
    group.add_argument("--max-long-side", type=int, metavar="N", help="the same for the long side")
    group.add_argument("--scales", type=float, nargs="+", metavar="S",
                       help="average over these scales, e.g. 0.75 1 1.25")
    group.add_argument("--flip", action="store_true", help="average with the mirrored video")
    group.add_argument("--amp", nargs="?", const=AUTO, choices=(*AMP_NAMES, "none"),
                       help="mixed precision (without a value auto: what the device computes in; "
                            "none switches that of the config off)")
    group.add_argument("--channels-last", action="store_true", help="memory format of the network")
    group.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU if there is one)")


def session_options(options: argparse.Namespace, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Options for a session: those of the command line over ``defaults`` (of the config)."""
    given = {**{name: getattr(options, name) for name in LIMITS}, "scales": options.scales and tuple(options.scales),
             "amp": options.amp, "flip": options.flip or None, "channels_last": options.channels_last or None,
             "clip_length": getattr(options, "clip_length", None)}
    merged = {**defaults, **{key: value for key, value in given.items() if value is not None}}
    for name in LIMITS:
        if merged.get(name) == 0:
            merged[name] = None
    if merged.get("amp") == "none":
        merged["amp"] = None
    return merged


def refuse_unused(options: argparse.Namespace, family: Any, method: str, names: Sequence[str]) -> None:
    """Raise :class:`InputError` if an option that models of the family have no use for is given.

    Args:
        options: of the command line.
        family: a :class:`~vosplug.evaluation.families.Family`.
        method: the type of the model.
        names: options of the command that not all families use.
    """
    for name in names:
        if name in family.unused and getattr(options, name) not in (None, False):
            raise InputError(f"--{name.replace('_', '-')} has no effect: {family.unused[name].format(method=method)}; "
                             "leave it out")
