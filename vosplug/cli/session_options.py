"""Models and sessions of the commands that segment videos, and the options of both."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..utils.amp import AMP_NAMES, AUTO
from ..utils.errors import InputError
from .common import add_config_options

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
    group.add_argument("--no-prepare", dest="prepare", action="store_false", default=None,
                       help="on a CPU, do not run convolutions on packed weights")
    group.add_argument("--compile", nargs="?", const="default", metavar="NAME",
                       help="compile the stages that encode frames and decode masks (torch.compile): default, "
                            "reduce-overhead (graphs of CUDA), max-autotune, eager or aot_eager")
    group.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a CUDA GPU if there is one)")


def add_segmenting_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a session and of the config, for a command that reads no data set."""
    add_session_options(parser)
    add_config_options(parser, data_root=False, work_dir=False)


def open_model(options: argparse.Namespace, config: Mapping[str, Any]) -> Any:
    """The model of the config on the device that is asked for; without a checkpoint its weights are random (seed 0)."""
    from ..engine.processes import pick_device
    from ..inference.model_loading import build_segmentor

    return build_segmentor(config, options.checkpoint, device=pick_device(options.device), seed=0, pretrained=False)


def session_options(options: argparse.Namespace, config: Mapping[str, Any]) -> dict[str, Any]:
    """Options for a session: those of the command line over those that the config states."""
    from ..inference.model_loading import session_defaults

    given = {**{name: getattr(options, name) for name in LIMITS}, "scales": options.scales and tuple(options.scales),
             "amp": options.amp, "flip": options.flip or None, "channels_last": options.channels_last or None,
             "prepare": options.prepare, "compile": options.compile,
             "clip_length": getattr(options, "clip_length", None)}
    merged = {**session_defaults(config), **{key: value for key, value in given.items() if value is not None}}
    for name in LIMITS:
        if merged.get(name) == 0:
            merged[name] = None
    if merged.get("amp") == "none":
        merged["amp"] = None
    return merged


def refuse_unused(options: argparse.Namespace, family: Any, config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise :class:`InputError` if an option that models of the family have no use for is given.

    Args:
        options: of the command line.
        family: a :class:`~vosplug.evaluation.families.Family`.
        config: of the model.
        names: options of the command that not all families use.
    """
    from ..inference.model_loading import method_of

    for name in names:
        if name in family.unused and getattr(options, name) not in (None, False):
            reason = family.unused[name].format(method=method_of(config))
            raise InputError(f"--{name.replace('_', '-')} has no effect: {reason}; leave it out")
