"""Segments videos and shows what sparse convolutions computed: per layer, over the frame, and per module."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from .common import add_config_options, command, load_config, positive_int
from .session_options import add_session_options, session_options
from .source_options import add_source_options, check_source, open_source


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="plot_sparsity", description=__doc__)
    parser.add_argument("config", help="config file, or the name of one that comes with vosplug")
    parser.add_argument("checkpoint", nargs="?", help="weights; random ones (seed 0) without")
    add_source_options(parser, several=True)
    parser.add_argument("--frames", type=positive_int, metavar="N",
                        help="frames of each video (default: all; of the synthetic one 12)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="folder for layers.png, maps.png and sparsity.json")
    parser.add_argument("--map-every", type=positive_int, default=10, metavar="N",
                        help="frames between two maps (default 10; at most --max-maps of them, sparse frames only)")
    parser.add_argument("--max-maps", type=positive_int, default=4, metavar="N", help="rows of maps.png (default 4)")
    parser.add_argument("--density", type=float, metavar="D",
                        help="construct policies that compute this share of the sites (0..1), whatever gates say")
    add_session_options(parser)
    add_config_options(parser, data_root=False, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment, then write pictures and numbers, and print the table."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    from ..engine.processes import pick_device
    from ..evaluation.sparsity import sparse_layers
    from ..evaluation.sparsity_plots import plot_layers, plot_maps
    from ..evaluation.video_work import VideoWork
    from ..evaluation.work_report import set_density
    from ..inference.inferencer import VOSInferencer
    from ..inference.memory_log import need_matplotlib
    from ..inference.model_loading import build_segmentor, session_defaults
    from ..utils.files import write_json
    from .demo import progress_bar

    need_matplotlib()
    config = load_config(options.config, cfg_options=options.cfg_options, plugins=options.plugins)
    model = build_segmentor(config, options.checkpoint, device=pick_device(options.device), seed=0)
    if not sparse_layers(model):
        raise InputError(f"the model of {options.config} has no sparse convolution: there is nothing to plot")
    if options.density is not None:
        set_density(model, options.density, f"--density, the model of {options.config}")
    segment = VOSInferencer(model, session_options=session_options(options, session_defaults(config)))
    work, rows = VideoWork(), []
    for source, mask in open_sources(options):
        with work.watch(model), progress_bar(source.num_frames) as advance:
            since = options.map_every
            for frame, _ in segment.stream(source, mask, prefetch=0, binary=options.binary_mask):
                since += 1
                if since > options.map_every and len(rows) < options.max_maps and is_sparse(work.latest):
                    rows.append(maps_of(frame, work.latest))
                    since = 1
                advance()
    result = work.as_json()
    write_json(options.out / "sparsity.json", {"config": options.config, "density": options.density, **result})
    plot_layers(work.report.layers, options.out / "layers.png")
    plot_maps(rows, options.out / "maps.png")
    print_table(result, options.config)
    for name in ("layers.png", "maps.png", "sparsity.json"):
        print(f"written: {options.out / name}")
    return 0


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    check_source(options)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out} is not a folder")


def open_sources(options: argparse.Namespace) -> Iterator[tuple[Any, Any]]:
    """Readers of the frames that are asked for, each with the mask of the first one."""
    from ..inference.opening import open_reader

    if options.video is None:
        discs = open_source(options, None, frames=options.frames or 12)
        yield open_reader(discs, prefetch=0), discs.labels(0)
        return
    for path, mask in zip(options.video, options.mask, strict=True):
        yield open_source(options, path, frames=options.frames), mask


def is_sparse(work: list) -> bool:
    """Whether any gate decided on a frame."""
    return any(item.policy is not None for item in work)


def maps_of(frame: Any, work: list) -> tuple[int, Any, dict[str, Any]]:
    """The number of a frame, its picture, and where its layers computed."""
    from ..evaluation.sparsity import spatial_map

    modules = dict.fromkeys(item.layer.split(".")[0] for item in work if item.policy is not None)
    size = frame.image.shape[:2]
    maps = {"all layers": spatial_map(work, size).numpy()}
    maps.update({name: spatial_map(work, size, f"{name}.").numpy() for name in modules})
    return frame.index, frame.image, maps


def print_table(result: dict, title: str) -> None:
    """Work per frame and module with and without sparsity (SpVOS, Table IV)."""
    from rich.console import Console
    from rich.table import Table

    table = Table("module", "GMACs per frame, dense", "done", "saved", title_justify="left",
                  title=f"{title}: means over {result['frames']} frames, {result['objects']:.2f} objects")
    for name, module in (*result["modules"].items(), ("total", result["total"])):
        table.add_row(name, f"{module['dense_macs_g']:.2f}", f"{module['macs_g']:.2f}", f"{100 * module['saved']:.1f}%")
    console = Console()
    console.print(table)
    density, total = result["sparsity"]["density"], result["sparsity"]["total"]
    if density is not None:
        shares = ", ".join(f"{name} {total[name]:.3f}" for name in ("computed", "reused", "skipped"))
        console.print(f"sparse frames: density {density:.3f} of the multiply-accumulates; sites {shares}",
                      soft_wrap=True)
