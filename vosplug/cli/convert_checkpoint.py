"""Convert a published checkpoint to vosplug's names."""

import argparse
from pathlib import Path

from rich.console import Console

from ..inference.model_loading import build_segmentor
from ..registry import CONVERTERS
from ..utils.checkpoint import load_checkpoint_file, load_weights, model_state, save_checkpoint_file, with_new_parts
from ..utils.errors import CheckpointError, InputError, did_you_mean
from .common import check_targets, command, load_config, new_parser


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("family", help=f"family: {', '.join(sorted(CONVERTERS.names()))}")
    parser.add_argument("source", help="published checkpoint (.pth), read without executing anything in it")
    parser.add_argument("target", help="where the converted checkpoint is written")
    parser.add_argument("--config", help="config whose model has to accept the weights (default: the family's own)")
    parser.add_argument("--backbone", metavar="RESNET.pth",
                        help="weights of the backbone, if the published file lacks them (frtm, reuse_vos)")
    return parser


def get_converter(family: str):
    """Converter of a family; :class:`InputError` with a suggestion if there is none."""
    known = sorted(CONVERTERS.names())
    if family not in known:
        raise InputError(f"no converter for family {family!r}.{did_you_mean(family, known)} Known: {', '.join(known)}.")
    return CONVERTERS.get(family)()


@command
def main(argv: list[str] | None = None) -> None:
    """Convert, check against the model, write."""
    args = build_parser().parse_args(argv)
    converter = get_converter(args.family)
    check_targets(args.target)
    if Path(args.target).resolve() == Path(args.source).resolve():
        raise InputError(f"{args.target} is the source, which would be overwritten: choose another target")
    backbone = args.backbone and model_state(load_checkpoint_file(args.backbone))
    # Files of trainings hold statistics and the like beside the weights.
    own = converter.weights_of(load_checkpoint_file(args.source, strangers=True))
    result = converter.convert(converter.with_backbone(own, backbone))
    if result.unknown:
        raise CheckpointError(f"{args.source} is not a {args.family} checkpoint, or a variant that is not known: "
                              f"{result.coverage()}")
    config = args.config or converter.model_config
    model = build_segmentor(load_config(config), seed=0, pretrained=False)
    result = converter.fit(result, model)
    state, new = with_new_parts(model, result.state)
    load_weights(model, state)
    save_checkpoint_file({"state_dict": state, "meta": {"family": args.family, "config": config}}, args.target)
    origin = f" ({len(own)} from {args.source}, {len(backbone)} from {args.backbone})" if backbone else ""
    anew = f"; {len(new)} more start anew ({', '.join(new)})" if new else ""
    Console().print(f"{result.coverage()}{origin}; they fit {config}{anew}; written to {args.target}", soft_wrap=True)
