"""Plots of what a reuse gate does on a data set (Park et al., CVPR 2021, Fig. 1 and 6 to 9)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .figures import new_figure, save_figure

AXES = (("reuse_rate", "reuse rate"), ("macs_g", "G multiply-accumulates per frame"), ("fps", "frames per second"))
MARKS = "os^Dv<>Pp*Xhd"
BINS = np.linspace(0, 1, 21)


def plot_curves(points: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path) -> None:
    """J&F against reuse rate, work and speed: a line per gate and mode.

    Args:
        points: curve -> its points, with ``J&F-Mean``, ``reuse_rate``, ``macs_g`` and ``fps``.
        path: PNG to write.
    """
    figure = new_figure(5 * len(AXES), 4.5 + 0.1 * len(points))
    grid = figure.subplots(1, len(AXES), sharey=True)
    for axes, (key, label) in zip(grid, AXES, strict=True):
        for number, (name, line) in enumerate(points.items()):
            line = sorted((p for p in line if p[key] is not None), key=lambda p: p["reuse_rate"])
            axes.plot([p[key] for p in line], [100 * p["J&F-Mean"] for p in line], marker=MARKS[number % len(MARKS)],
                      markersize=4, linewidth=1, color=f"C{number % 10}", label=name,
                      linestyle="-" if number < 10 else "--")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("J&F")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save_figure(figure, path)


def plot_calibration(panels: Mapping[str, tuple[Sequence[float], Sequence[float], float | None]],
                     path: str | Path) -> None:
    """The probability of reuse against the true IoU: a panel per run.

    Args:
        panels: title -> (probabilities, IoUs, Spearman's rho).
        path: PNG to write.
    """
    columns = min(4, max(1, len(panels)))
    rows = -(-max(1, len(panels)) // columns)
    figure = new_figure(3.2 * columns, 3.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels):]:
        axes.set_axis_off()
    for axes, (title, (probabilities, ious, rho)) in zip(grid.flat, panels.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        axes.scatter(ious, probabilities, s=6, alpha=0.4, linewidths=0)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="IoU with the last full frame", ylabel="P of reuse", aspect="equal")
        axes.set_title(f"{title}\nrho {'-' if rho is None else f'{rho:.2f}'}, {len(ious)} decisions", fontsize=8)
    save_figure(figure, path)


def plot_similarity(ious: Sequence[float], lines: Mapping[str, Sequence[tuple[float, float]]],
                    path: str | Path) -> None:
    """How alike consecutive masks are (Fig. 1a), and J&F on the videos that are at least so alike (Fig. 1b).

    Args:
        ious: of consecutive reference masks.
        lines: run -> (mean IoU of consecutive masks, J&F) of each video.
        path: PNG to write.
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    left.hist(ious, bins=BINS, weights=np.full(len(ious), 100 / max(1, len(ious))), color="#1f77b4")
    left.axvline(0.7, color="#d62728", linewidth=1)
    share = float(np.mean(np.array(ious) > 0.7)) if len(ious) else 0.0
    left.set(xlabel="IoU of consecutive masks", ylabel="% of the pairs", title=f"{100 * share:.1f}% above 0.7")
    for name, videos in lines.items():
        edges = sorted({iou for iou, _ in videos})
        right.step(edges, [100 * float(np.mean([score for iou, score in videos if iou >= edge])) for edge in edges],
                   where="pre", label=name)
    right.set(xlabel="videos whose mean IoU is at least", ylabel="J&F")
    if lines:
        right.legend(fontsize=8)
    right.grid(alpha=0.3)
    save_figure(figure, path)


def plot_drift(lines: Mapping[str, Sequence[float]], path: str | Path) -> None:
    """J by the number of the frame: how far errors add up.

    Args:
        lines: run -> J of each scored frame.
        path: PNG to write.
    """
    figure = new_figure(8, 4)
    axes = figure.subplots()
    for name, values in lines.items():
        axes.plot(range(1, len(values) + 1), [100 * value for value in values], linewidth=1, label=name)
    axes.set(xlabel="frame", ylabel="J, mean over objects")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def plot_reused(picture: np.ndarray, maps: Mapping[str, np.ndarray], title: str, path: str | Path) -> None:
    """A reused frame: the picture, and what was predicted for it beside the truth (Fig. 5).

    Args:
        picture: (H, W, 3) uint8.
        maps: title -> (h, w); those named ``change`` are signed, features are drawn on one scale.
        title: of the figure.
        path: PNG to write.
    """
    columns = (len(maps) + 2) // 2
    height, width = picture.shape[:2]
    figure = new_figure(3 * columns, 0.6 + 6.4 * height / width)
    grid = figure.subplots(2, columns)
    grid.flat[0].imshow(picture)
    grid.flat[0].set_title("frame", fontsize=8)
    top = max(float(x.max()) for name, x in maps.items() if name.startswith("R"))
    for axes, (name, x) in zip(grid.flat[1:], maps.items(), strict=False):
        if "change" in name:
            style = dict(vmin=-1, vmax=1, cmap="RdBu_r")
        elif name.startswith("S"):
            style = dict(vmin=0, vmax=1, cmap="gray")
        else:
            style = dict(vmin=0, vmax=top, cmap="viridis")
        axes.imshow(x, **style)
        axes.set_title(name, fontsize=8)
    for axes in grid.flat:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)
