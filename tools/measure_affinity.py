"""Tells whether an SST uses the affinity of objects: where it is above zero, and J&F without it.

The videos of a data set are segmented twice: as the model is, and with every affinity set to zero, for all layers and
slots, before the pre-head sees it. Counted are the cells of the embedding whose affinity is above zero, in the first
run, by layer and slot, background and objects apart.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
from torch import Tensor

from vosplug.cli.common import (
    add_config_options,
    add_model_arguments,
    check_targets,
    command,
    dataset_changes,
    new_parser,
    open_config,
    write_numbers,
)
from vosplug.cli.session_options import add_session_options, open_model, session_options
from vosplug.evaluation.vos_evaluator import VOSEvaluator
from vosplug.models.matching_heads import SSTEncoder
from vosplug.models.matching_heads.sst_encoder import Encoded
from vosplug.models.segmentors import SST
from vosplug.registry import DATASETS, METRICS
from vosplug.utils.errors import InputError

ZERO_IS_NOTHING = ("dot", "softmax")  # scores by which zero says that there is nothing alike


class AffinityCount:
    """Shares of cells whose affinity is above zero.

    Attributes:
        above: of each (layer, ``background`` or ``objects``), cells above zero, and all.
    """

    def __init__(self, head: SSTEncoder):
        self.layers = len(head.layers)
        self.per_layer = head.heads if head.heads_kept == "all" else 1
        self.above: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])

    def affinity(self, matches: Tensor) -> Tensor:
        """(B, S, M, h, w) -> (B, S, layers, h, w), the largest of the heads that are told apart."""
        own = matches[:, :, : self.layers * self.per_layer]
        return own.unflatten(2, (self.layers, self.per_layer)).amax(dim=3)

    def add(self, matches: Tensor) -> None:
        """Count the cells of one frame, the matched values (B, S, M, h, w) of every slot."""
        found = self.affinity(matches) > 0
        for layer in range(self.layers):
            for name, slots in (("background", found[:, :1, layer]), ("objects", found[:, 1:, layer])):
                counts = self.above[layer, name]
                counts[0] += int(slots.sum())
                counts[1] += slots.numel()

    def shares(self) -> dict[str, dict[str, float]]:
        """Layer -> slot -> share, layers counted from 1."""
        result: dict[str, dict[str, float]] = defaultdict(dict)
        for (layer, name), (above, total) in sorted(self.above.items()):
            result[f"layer {layer + 1}"][name] = above / total if total else 0.0
        return dict(result)


@contextmanager
def counted(head: SSTEncoder) -> Iterator[AffinityCount]:
    """Count what the head says of the frames in between."""
    count = AffinityCount(head)
    handle = head.register_forward_hook(lambda _module, _inputs, encoded: count.add(encoded.matches))
    try:
        yield count
    finally:
        handle.remove()


@contextmanager
def muted(head: SSTEncoder) -> Iterator[None]:
    """All affinities of the head are zero for a while; the previous mask, the last of the matched values, stays."""
    def mute(_module: Any, _inputs: Any, encoded: Encoded) -> Encoded:
        matches = encoded.matches.clone()
        matches[:, :, :-1] = 0
        return replace(encoded, matches=matches)

    handle = head.register_forward_hook(mute)
    try:
        yield
    finally:
        handle.remove()


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument("--set", dest="split", help="split, e.g. val")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these videos")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    add_session_options(parser)
    add_config_options(parser, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment twice, print, write the numbers."""
    options = build_parser().parse_args(argv)
    check_targets(options.json)
    config = open_config(options)
    model = open_model(options, config)
    if not isinstance(model, SST) or not model.matching_head.affinity:
        raise InputError(f"the model of {options.config} has no affinity of objects: an SST with affinity is needed")
    head = model.matching_head
    if config["model"]["matching_head"].get("score", "dot") not in ZERO_IS_NOTHING:
        raise InputError(f"the affinity of {options.config} is no {' or '.join(ZERO_IS_NOTHING)}: zero means likeness")
    given = {**(config.get("test_dataset") or {}), "type": "DavisDataset", **dataset_changes(options)}
    dataset, session = DATASETS.build(given), session_options(options, config)
    with counted(head) as count:
        whole = score(model, dataset, session)
    with muted(head):
        without = score(model, dataset, session)
    write_numbers(options.json, {"config": options.config, "above_zero": count.shares(), "scores": whole,
                                 "scores_without_affinity": without})
    for layer, shares in count.shares().items():
        print(f"{layer}: " + ", ".join(f"{100 * share:.1f}% of the cells of {name}" for name, share in shares.items())
              + " have an affinity above zero")
    for name, found in (("as it is", whole), ("affinities zero", without)):
        print(f"{name}: " + ", ".join(f"{key} {100 * found[key]:.1f}" for key in ("J&F-Mean", "J-Mean", "F-Mean")))
    return 0


def score(model: SST, dataset: Any, session: dict) -> dict[str, float]:
    """J and F of DAVIS."""
    return VOSEvaluator(model, session_options=session).run(dataset, METRICS.build(dict(type="DavisMetric")))


if __name__ == "__main__":
    raise SystemExit(main())
