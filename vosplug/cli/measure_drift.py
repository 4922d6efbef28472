"""Freezes gates to leave out sites at random and measures how far each kind of sparse convolution drifts."""

import argparse
import copy
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .common import add_config_options, check_targets, command, load_config, positive_int
from .session_options import add_session_options, session_options
from .source_options import add_source_options, check_source, open_source


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="measure_drift", description=__doc__)
    parser.add_argument("config", help="config of a sparse model, or the name of one that comes with vosplug")
    parser.add_argument("checkpoint", nargs="?",
                        help="weights of the model or of its dense twin; random ones (seed 0) without")
    add_source_options(parser)
    parser.add_argument("--frames", type=positive_int, default=60, metavar="N",
                        help="frames after the first one (default 60)")
    parser.add_argument("--share", type=float, default=0.5, metavar="P", help="share of sites left out (default 0.5)")
    parser.add_argument("--policy", default="SemiMixed", metavar="TYPE",
                        help="frame policy (default SemiMixed: the first frame is dense, so that errors can add up)")
    parser.add_argument("--seed", type=int, default=0, help="of the random gates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves")
    add_session_options(parser)
    add_config_options(parser, data_root=False, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Build the dense twin and one model per case, segment in step, print a table."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    check_targets(options.json)
    from ..engine.processes import pick_device
    from ..evaluation.drift import CASES, measure_drift
    from ..inference.model_loading import session_defaults
    from ..utils.files import write_json

    config = load_config(options.config, cfg_options=options.cfg_options, plugins=options.plugins)
    device = pick_device(options.device)
    dense = build_dense(config, options, device)
    models = {case.name: build_case(config, case, dense, options, device) for case in CASES}
    frames, labels = open_frames(options)
    drifts = measure_drift(dense, models, frames, labels, session_options(options, session_defaults(config)))
    if options.json is not None:
        write_json(options.json, {"config": options.config, "share": options.share, "policy": options.policy,
                                  "cases": {name: drift.as_json() for name, drift in drifts.items()}})
    print_table(drifts, options)
    return 0


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    check_source(options)
    if not 0 <= options.share <= 1:
        raise InputError(f"--share must lie in 0..1, got {options.share}")


def build_dense(config: Any, options: argparse.Namespace, device: Any) -> Any:
    """The model without sparse convolutions; gates in the checkpoint are left aside."""
    from ..inference.model_loading import build_segmentor
    from ..utils.checkpoint import load_checkpoint_file, load_weights, model_state

    settings = copy.deepcopy(config["model"])
    if not settings.get("sparse"):
        raise InputError(f"the model of {options.config} has no key 'sparse': there are no gates to freeze")
    settings["sparse"] = None
    dense = build_segmentor({"model": settings}, device=device, seed=0)
    if options.checkpoint is not None:
        state = model_state(load_checkpoint_file(options.checkpoint))
        load_weights(dense, {name: value for name, value in state.items() if ".gate." not in name})
    return dense


def build_case(config: Any, case: Any, dense: Any, options: argparse.Namespace, device: Any) -> Any:
    """A sparse model with the weights of the dense one and frozen gates."""
    from ..evaluation.drift import freeze_gates
    from ..inference.model_loading import build_segmentor
    from ..models.backbones.sparse_convs import load_dense_weights

    settings = copy.deepcopy(config["model"])
    settings["sparse"].update(conv=dict(type=case.conv), policy=dict(type=options.policy), losses=[],
                              dense_weights=None)
    model = build_segmentor({"model": settings}, device=device, seed=0)
    load_dense_weights(model, dense.state_dict())
    freeze_gates(model, case, options.share, options.seed)
    return model


def open_frames(options: argparse.Namespace) -> tuple[Any, Any]:
    """Pictures one by one, and the labels of the first one."""
    from ..utils.masks import read_mask

    frames = open_source(options, options.video, frames=1 + options.frames)
    if options.video is None:
        return frames, frames.labels(0)
    return (frame.image for frame in frames), read_mask(options.mask, binary=options.binary_mask)


def print_table(drifts: dict, options: argparse.Namespace) -> None:
    """Distances at a few frames: of features, and of masks."""
    from rich.console import Console
    from rich.table import Table

    last = len(next(iter(drifts.values())).features) - 1
    marks = [t for t in (1, 5, 10, 20, 40, 60) if t < last] + ([last] if last else [])
    table = Table("gates frozen", *(f"features, {t}" for t in marks), *(f"IoU, {t}" for t in marks),
                  title=f"{options.config}: {100 * options.share:g}% of the sites left out at random, policy "
                        f"{options.policy}; distance from the dense model at frames", title_justify="left")
    for name, drift in drifts.items():
        table.add_row(name, *(f"{drift.features[t]:.3f}" for t in marks), *(f"{drift.masks[t]:.3f}" for t in marks))
    Console(width=max(120, 30 + 30 * len(marks))).print(table)
