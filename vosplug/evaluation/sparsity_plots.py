"""Pictures of what sparse convolutions computed: shares per layer and maps over the frame (SpVOS, Fig. 5 and 6)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..inference.memory_log import need_matplotlib
from ..utils.files import write_via
from .work_report import LayerCounts

POLICIES = (("computed", "#d62728"), ("reused", "#1f77b4"), ("skipped", "#d9d9d9"))


def new_figure(width: float, height: float) -> Any:
    """A figure of matplotlib that belongs to no window.

    Raises:
        InputError: matplotlib is missing.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
    write_via(path, figure.savefig)


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
    write_via(path, figure.savefig)
