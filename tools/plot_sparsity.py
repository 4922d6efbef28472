"""Segments videos and shows what sparse convolutions computed: per layer, over the frame, and per module.

The pictures are those of SpVOS: shares per layer (Fig. 5), maps over the frame (Fig. 6), work per module (Table IV).
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np
import torch
import torch.nn.functional as F
from _source import add_source_options, check_source, open_source

from vosplug.cli.common import (
    RANDOM,
    add_model_arguments,
    command,
    new_parser,
    open_config,
    positive_int,
    write_numbers,
)
from vosplug.cli.session_options import add_segmenting_options, open_model, session_options
from vosplug.evaluation.video_work import VideoWork
from vosplug.evaluation.work_report import LayerCounts, set_density
from vosplug.inference.inferencer import VOSInferencer
from vosplug.inference.opening import open_reader
from vosplug.models.backbones.sparse_convs import SparseConv
from vosplug.structures import Work
from vosplug.utils.errors import InputError
from vosplug.utils.progress import progress_bar
from vosplug.visualization.figures import need_matplotlib, new_figure, save_figure

POLICIES = (("computed", "#d62728"), ("reused", "#1f77b4"), ("skipped", "#d9d9d9"))


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser, RANDOM)
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
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment, then write pictures and numbers, and print the table."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    need_matplotlib()
    config = open_config(options)
    model = open_model(options, config)
    if not any(isinstance(module, SparseConv) for module in model.modules()):
        raise InputError(f"the model of {options.config} has no sparse convolution: there is nothing to plot")
    if options.density is not None:
        set_density(model, options.density, f"--density, the model of {options.config}")
    segment = VOSInferencer(model, session_options=session_options(options, config))
    work, rows = VideoWork(), []
    for source, mask in open_sources(options):
        with work.watch(model), progress_bar("segmenting", source.num_frames, "frames") as advance:
            since = options.map_every
            for frame, _ in segment.stream(source, mask, prefetch=0, binary=options.binary_mask):
                since += 1
                if since > options.map_every and len(rows) < options.max_maps and is_sparse(work.latest):
                    rows.append(maps_of(frame, work.latest))
                    since = 1
                advance()
    result = work.as_json()
    write_numbers(options.out / "sparsity.json", {"config": options.config, "density": options.density, **result})
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


def spatial_map(work: Iterable[Work], size: tuple[int, int], prefix: str = "") -> torch.Tensor:
    """Share of the layers that computed each location (Fig. 6), (H, W) float32; per-object layers count their mean.

    Args:
        work: of one frame.
        size: (H, W) of the map; policies are resized to it by nearest neighbour.
        prefix: only layers whose names begin so.
    """
    maps = [F.interpolate((w.policy == 2).float().mean(dim=0)[None, None].cpu(), size=size)[0, 0]
            for w in work if w.policy is not None and w.layer.startswith(prefix)]
    return torch.stack(maps).mean(dim=0) if maps else torch.zeros(size)


def short_name(layer: str) -> str:
    """A layer's name without the words that all layers of its module share."""
    return layer.replace("key_encoder.backbone.", "Q ").replace("value_encoder.", "M ").replace("decoder.", "D ")


def plot_layers(layers: Mapping[str, LayerCounts], path: str | Path) -> None:
    """Stacked bars: the shares of the three policies in every layer, on sparse frames (Fig. 5), and over all layers.

    Args:
        layers: of a :class:`~vosplug.evaluation.work_report.WorkReport`; those without a sparse frame are left out.
        path: PNG to write.
    """
    rows = {name: shares for name, counts in layers.items() if (shares := shares_of([counts]))}
    if rows:
        rows["all layers"] = shares_of([counts for counts in layers.values() if counts.sparse_frames])
    figure = new_figure(9, 1.2 + 0.19 * max(1, len(rows)))
    axes = figure.add_subplot()
    start = np.zeros(len(rows))
    for index, (label, colour) in enumerate(POLICIES):
        widths = np.array([shares[index] for shares in rows.values()])
        axes.barh(range(len(rows)), widths, left=start, color=colour, label=label)
        start = start + widths
    axes.set_yticks(range(len(rows)), [short_name(name) for name in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the sites")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    save_figure(figure, path)


def shares_of(counts: Sequence[LayerCounts]) -> tuple[float, float, float] | None:
    """Mean over layers of the shares (computed, reused, skipped); None without sites."""
    rows = [(c.computed, c.reused, c.skipped) for c in counts if c.computed + c.reused + c.skipped]
    return tuple(np.mean([np.array(row) / sum(row) for row in rows], axis=0).tolist()) if rows else None


def plot_maps(frames: Sequence[tuple[int, np.ndarray, Mapping[str, np.ndarray]]], path: str | Path) -> None:
    """Where convolutions were computed (Fig. 6): a row per frame, the picture and a map per module.

    Args:
        frames: (number, picture (H, W, 3) uint8, module -> (H, W) share of its layers that computed each location).
        path: PNG to write.
    """
    titles = list(frames[0][2]) if frames else []
    height, width = frames[0][1].shape[:2] if frames else (1, 1)
    figure = new_figure(3 * (1 + len(titles)), 0.5 + 3 * max(1, len(frames)) * height / width)
    grid = figure.subplots(max(1, len(frames)), 1 + len(titles), squeeze=False)
    drawn = None
    for row, (number, picture, maps) in zip(grid, frames, strict=False):
        row[0].imshow(picture)
        row[0].set_title(f"frame {number}", fontsize=8)
        for axes, title in zip(row[1:], titles, strict=True):
            drawn = axes.imshow(maps[title], vmin=0, vmax=1, cmap="inferno")
            axes.set_title(title, fontsize=8)
    for axes in grid.flat:
        axes.set_axis_off()
    if drawn is not None:
        figure.colorbar(drawn, ax=grid, label="share of the layers that compute", shrink=0.8)
    save_figure(figure, path)


if __name__ == "__main__":
    raise SystemExit(main())
