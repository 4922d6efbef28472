"""Freezes gates to leave out sites at random and measures how far each kind of sparse convolution drifts.

Do errors add up over a video? Sparse models and their dense twin segment it in step, and are compared frame by frame.
"""

import argparse
import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np
import torch
from _source import add_source_options, check_source, open_source
from torch import Tensor, nn

from vosplug.cli.common import (
    RANDOM,
    add_model_arguments,
    check_targets,
    command,
    new_parser,
    open_config,
    positive_int,
    write_numbers,
)
from vosplug.cli.session_options import add_segmenting_options, session_options
from vosplug.engine.processes import pick_device
from vosplug.inference.model_loading import build_segmentor
from vosplug.inference.session import VOSSession
from vosplug.models.backbones.sparse_convs import SparseConv, load_dense_weights
from vosplug.models.backbones.sparse_convs.constructed import RandomPolicy
from vosplug.utils.checkpoint import load_checkpoint_file, load_weights, model_state
from vosplug.utils.errors import InputError
from vosplug.utils.masks import read_mask


@dataclass(frozen=True)
class DriftCase:
    """A kind of sparse convolution, and what the sites do that are not computed.

    Attributes:
        name: for tables.
        conv: type of the convolution.
        reused: share of the sites left out that reuse; the others are skipped.
    """

    name: str
    conv: str
    reused: float


CASES = (
    DriftCase("triple, reuse", "TripleSparseConv", 1.0),
    DriftCase("triple, reuse or skip", "TripleSparseConv", 0.5),
    DriftCase("triple, skip", "TripleSparseConv", 0.0),
    DriftCase("static, zero", "StaticSparseConv", 0.0),
    DriftCase("residual, keep", "ResidualSparseConv", 1.0),
)


@dataclass
class Drift:
    """Distance of a model from its dense twin, frame by frame.

    Attributes:
        features: |key - dense key| / |dense key| (norms over the frame) of the key encoder.
        masks: mean IoU with the masks of the dense model over the objects of either.
    """

    features: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, list[float]]:
        """One number per frame; the first frame, on which masks are given, included."""
        return {"features": self.features, "masks": self.masks}


def freeze_gates(model: nn.Module, case: DriftCase, share: float, seed: int = 0) -> None:
    """Let every sparse convolution leave out each site with probability ``share``, at random in every frame.

    Raises:
        InputError: the model has no sparse convolution.
    """
    layers = [module for module in model.modules() if isinstance(module, SparseConv)]
    if not layers:
        raise InputError("it has no sparse convolution whose gates could be frozen")
    forced = RandomPolicy(1 - share, share * case.reused, seed)
    for layer in layers:
        layer.forced = forced


@contextmanager
def last_key(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds the keys of the frame that ``model`` encoded last."""
    held: list[Tensor] = []
    handle = model.key_encoder.key_proj.register_forward_hook(lambda _m, _i, key: held.__setitem__(slice(None), [key]))
    try:
        yield held
    finally:
        handle.remove()


def measure_drift(dense: nn.Module, models: Mapping[str, nn.Module], frames: Iterable[np.ndarray],
                  labels: np.ndarray, session_options: Mapping[str, Any] | None = None) -> dict[str, Drift]:
    """Segment a video with all models in step, and compare each with the dense one.

    Args:
        dense: the twin without sparse convolutions; it has a ``key_encoder``, as the others have.
        models: by name, with gates frozen.
        frames: pictures (H, W, 3) uint8 RGB; they are held one at a time.
        labels: (H, W) objects of the first frame.
        session_options: of :class:`~vosplug.inference.VOSSession`.
    """
    options = dict(session_options or {})
    sessions = {name: VOSSession(model, **options) for name, model in {"": dense, **models}.items()}
    result = {name: Drift() for name in models}
    for index, image in enumerate(frames):
        keys, masks = {}, {}
        for name, session in sessions.items():
            with last_key(session.model) as held:
                masks[name] = session.step(image, labels if index == 0 else None)
            keys[name] = held[0].float()
        for name, drift in result.items():
            drift.features.append(float(torch.linalg.norm(keys[name] - keys[""]) / torch.linalg.norm(keys[""])))
            drift.masks.append(mean_iou(masks[name], masks[""]))
    return result


def mean_iou(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean over the objects of either label map (H, W) of the IoU of their masks; 1 where there is no object."""
    ids = [value for value in np.union1d(ours, theirs) if value]
    values = [float(((ours == v) & (theirs == v)).sum() / ((ours == v) | (theirs == v)).sum()) for v in ids]
    return float(np.mean(values)) if values else 1.0


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser, f"of the model or of its dense twin; {RANDOM}")
    add_source_options(parser)
    parser.add_argument("--frames", type=positive_int, default=60, metavar="N",
                        help="frames after the first one (default 60)")
    parser.add_argument("--share", type=float, default=0.5, metavar="P", help="share of sites left out (default 0.5)")
    parser.add_argument("--policy", default="SemiMixed", metavar="TYPE",
                        help="frame policy (default SemiMixed: the first frame is dense, so that errors can add up)")
    parser.add_argument("--seed", type=int, default=0, help="of the random gates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves")
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Build the dense twin and one model per case, segment in step, print a table."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    check_targets(options.json)
    config = open_config(options)
    device = pick_device(options.device)
    dense = build_dense(config, options, device)
    models = {case.name: build_case(config, case, dense, options, device) for case in CASES}
    frames, labels = open_frames(options)
    drifts = measure_drift(dense, models, frames, labels, session_options(options, config))
    write_numbers(options.json, {"config": options.config, "share": options.share, "policy": options.policy,
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
    settings = copy.deepcopy(config["model"])
    settings["sparse"].update(conv=dict(type=case.conv), policy=dict(type=options.policy), losses=[],
                              dense_weights=None)
    model = build_segmentor({"model": settings}, device=device, seed=0)
    load_dense_weights(model, dense.state_dict())
    freeze_gates(model, case, options.share, options.seed)
    return model


def open_frames(options: argparse.Namespace) -> tuple[Any, Any]:
    """Pictures one by one, and the labels of the first one."""
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


if __name__ == "__main__":
    raise SystemExit(main())
