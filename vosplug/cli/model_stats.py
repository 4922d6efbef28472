"""Parameters, MiB and multiply-accumulates of a model, in total and per module."""

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from ..evaluation.complexity import Complexity
from ..evaluation.families import family_of
from ..evaluation.gated_complexity import ABOUT_SPEED, mean_of_rate
from ..evaluation.work_report import WorkReport, set_density
from ..inference.model_loading import build_segmentor, session_defaults
from ..models.segmentors import ReuseGated
from ..utils.errors import InputError
from .common import (
    add_config_options,
    check_targets,
    command,
    new_parser,
    object_count,
    open_config,
    positive_int,
    write_numbers,
)
from .session_options import refuse_unused


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("config")
    parser.add_argument("--shape", type=positive_int, nargs=2, metavar=("H", "W"),
                        help="size of the frame before padding (default: 480 854; with methods that work by clips "
                             "test_session.size of the config, or 360 640)")
    parser.add_argument("--objects", type=object_count, help="number of objects (default: 1)")
    parser.add_argument("--memory-frames", type=positive_int,
                        help="frames in memory when the query frame is segmented (default: 1)")
    parser.add_argument("--frames", type=positive_int, metavar="T",
                        help="frames of a clip, for methods that work by clips (default: clip_length of the model)")
    parser.add_argument("--density", type=float, help="share of sites that sparse convolutions compute (0..1)")
    parser.add_argument("--reuse-rate", type=float, metavar="R",
                        help="of a model with a reuse gate: work of a mean frame at this rate (0..1), and the speed-up "
                             "over the method without a gate that follows from work alone")
    parser.add_argument("--json", metavar="F", help="write the numbers as JSON")
    add_config_options(parser, data_root=False, work_dir=False)
    return parser


def table_of(result: Complexity, title: str) -> Table:
    """Table for people: a row per module, a column per kind of frame."""
    many = len(result.macs) > 3  # then the title says what is counted
    heads = list(result.macs) if many else [heading(kind) for kind in result.macs]
    table = Table("module", "params (M)", "MiB", *heads, title=f"{title}; GMACs per frame" if many else title,
                  title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[0].no_wrap = True  # on a narrow console the headings are wrapped, names are not cut
    for name in [*result.module_params, "other"]:
        macs = [result.macs[kind].get(name, 0) for kind in result.macs]
        if name in result.module_params and (result.module_params[name] or any(macs)):
            table.add_row(name, f"{result.module_params[name] / 1e6:.3f}", f"{result.module_mib[name]:.2f}",
                          *(f"{m / 1e9:.2f}" for m in macs))
        elif any(macs):
            table.add_row(name, "", "", *(f"{m / 1e9:.2f}" for m in macs))
    table.add_section()
    table.add_row("total", f"{result.params / 1e6:.3f}", f"{result.state_mib:.2f}",
                  *(f"{result.total(kind) / 1e9:.2f}" for kind in result.macs))
    return table


def heading(kind: str) -> str:
    """Heading of a column."""
    return f"GMACs, {kind}" if kind in ("clip", "frame") else f"GMACs, {kind} frame"


def density_line(report: WorkReport, constructed: bool) -> str:
    """What the sparse convolutions of the query frame computed."""
    shares = (report.total().as_json()[name] for name in ("computed", "reused", "skipped"))
    if report.density() is None:
        return f"{len(report.layers)} sparse convolutions, which the policy made dense on the query frame"
    source = "constructed policies" if constructed else "gates as they are"
    per_module = ", ".join(f"{name} {module['density']:.3f}" for name, module in report.as_json()["modules"].items()
                           if module["density"] is not None)
    computed, reused, skipped = shares
    return (f"query frame, {len(report.layers)} sparse convolutions ({source}): density {report.density():.3f} of "
            f"their multiply-accumulates ({per_module}); sites computed {computed:.3f}, reused {reused:.3f}, "
            f"skipped {skipped:.3f}")


@command
def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    args = build_parser().parse_args(argv)
    check_targets(args.json)
    cfg = open_config(args)
    family = family_of(cfg)
    refuse_unused(args, family, cfg, ("frames", "objects", "memory_frames", "density"))
    model = build_segmentor(cfg, seed=0, pretrained=False)
    check_reuse_rate(args, model)
    if args.density is not None:
        set_density(model, args.density, f"--density, the model of {args.config}")
    given = {name: getattr(args, name) for name in ("objects", "memory_frames", "frames")}
    shape = tuple(args.shape or session_defaults(cfg).get("size") or family.size)
    result = family.statistics(model, size=shape, **{k: value for k, value in given.items() if value is not None})
    mean = {} if args.reuse_rate is None else mean_of_rate(result, args.reuse_rate, model.mode)
    write_numbers(args.json, {**result.as_json(), **mean})
    console = Console()
    shape, padded = ("x".join(map(str, result.settings[name])) for name in ("shape", "padded_shape"))
    console.print(table_of(result, f"{args.config}: {shape} (padded to {padded}), {result.about}"))
    query = result.work.get("query")
    if query is not None and query.layers:
        console.print(density_line(query, args.density is not None), soft_wrap=True)
    if mean:
        console.print(f"at a reuse rate of {args.reuse_rate:g}: {mean['macs_g_mean']:.2f} GMACs per frame, by work "
                      f"{mean['speedup_by_work']:.2f} x as fast as without the gate ({ABOUT_SPEED})", soft_wrap=True)


def check_reuse_rate(args: argparse.Namespace, model: Any) -> None:
    """Raise :class:`InputError` if ``--reuse-rate`` has no meaning."""
    if args.reuse_rate is None:
        return
    if not isinstance(model, ReuseGated):
        raise InputError(f"--reuse-rate, the model of {args.config}: it has no reuse gate")
    if not 0 <= args.reuse_rate <= 1:
        raise InputError(f"--reuse-rate must lie in 0..1, got {args.reuse_rate}")
