"""Segments one long synthetic video with several settings of a model, and plots J against the frame number.

Do masks get worse as a video goes on, and what does a longer memory buy? All settings see the same frames and weights.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np

from vosplug.cli.common import (
    RANDOM,
    add_model_arguments,
    check_targets,
    command,
    load_config,
    new_parser,
    open_config,
    positive_int,
)
from vosplug.cli.session_options import add_segmenting_options, open_model, session_options
from vosplug.datasets.synthetic import iter_video
from vosplug.evaluation.families import family_of
from vosplug.evaluation.functional.davis import jaccard
from vosplug.inference.memory_log import need_matplotlib
from vosplug.inference.session import VOSSession
from vosplug.utils.config_options import OptionsAction
from vosplug.utils.errors import InputError
from vosplug.utils.files import write_json, write_via
from vosplug.utils.progress import progress_bar

SUFFIXES = (".png", ".json")
SMOOTHED = 25  # frames that a point of the plot is the mean of


class VariantAction(OptionsAction):
    """``NAME KEY=VALUE ...``: a setting, by its name, and what it changes; may be given several times."""

    def __call__(self, parser, namespace, values, option_string=None):
        name, *pairs = values
        known = dict(getattr(namespace, self.dest, None) or {})
        if "=" in name or name in known:
            parser.error(f"{option_string} begins with a name of its own, got {name!r}")
        changes = argparse.Namespace(**{self.dest: {}})
        super().__call__(parser, changes, pairs, option_string)
        setattr(namespace, self.dest, {**known, name: getattr(changes, self.dest)})


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser, RANDOM)
    parser.add_argument("--variant", nargs="+", action=VariantAction, default={}, metavar=("NAME", "KEY=VALUE"),
                        help="a curve: its name, and values of the config that it changes (default: one, as it is)")
    parser.add_argument("--frames", type=positive_int, default=1000, metavar="N", help="length (default 1000)")
    parser.add_argument("--size", type=positive_int, nargs=2, default=(240, 432), metavar=("H", "W"),
                        help="size of the frames (default 240 432)")
    parser.add_argument("--seed", type=int, default=0, help="of the video")
    parser.add_argument("--out", type=Path, action="append", required=True, metavar="FILE",
                        help=".png (plot) or .json; may be repeated")
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment with all settings in step, write the curves, print their means over quarters of the video."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    config = open_config(options)
    if family_of(config).name != "vos":
        raise InputError(f"the model of {options.config} finds instances by itself: J of given objects is plotted here")
    sessions = {name: open_session(options, changes) for name, changes in (options.variant or {"as it is": {}}).items()}
    curves = measure_quality(sessions, options.frames, tuple(options.size), options.seed)
    numbers = {"config": options.config, "size": list(options.size), "seed": options.seed, "J": curves}
    for path in options.out:
        if path.suffix.lower() == ".json":
            write_json(path, numbers)
        else:
            write_via(path, lambda name: plot(curves, name))
    print_table(curves, options)
    for path in options.out:
        print(f"written: {path}")
    return 0


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    for path in options.out:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"--out {path}: the suffix must be {' or '.join(SUFFIXES)}")
        if path.suffix.lower() == ".png":
            need_matplotlib()
    check_targets(*options.out)


def open_session(options: argparse.Namespace, changes: Mapping[str, Any]) -> VOSSession:
    """A session with the model of the config after ``changes``; weights are the same for all."""
    config = load_config(options.config, cfg_options={**options.cfg_options, **changes}, plugins=options.plugins)
    return VOSSession(open_model(options, config), **session_options(options, config))


def measure_quality(sessions: Mapping[str, VOSSession], frames: int, size: tuple[int, int],
                    seed: int = 0) -> dict[str, list[float]]:
    """J of each session on every frame behind the first one, whose masks are given: the mean over its objects.

    Args:
        sessions: by name; each sees the whole video.
        frames, size, seed: of the synthetic video.
    """
    curves: dict[str, list[float]] = {name: [] for name in sessions}
    with progress_bar("segmenting", frames, "frames") as advance:
        for index, (image, labels) in enumerate(iter_video(seed, frames, size)):
            if index == 0:
                ids = [int(value) for value in np.unique(labels) if value]
            for name, session in sessions.items():
                masks = session.step(image, None if index else labels, last=index == frames - 1)
                if index:
                    curves[name].append(mean_jaccard(masks, labels, ids))
            advance()
    return curves


def mean_jaccard(prediction: np.ndarray, reference: np.ndarray, ids: list[int]) -> float:
    """J (DAVIS) of label maps (H, W), the mean over ``ids``."""
    pairs = [(prediction == value, reference == value) for value in ids]
    return float(np.mean([jaccard(int((a & b).sum()), int((a | b).sum())) for a, b in pairs]))


def print_table(curves: Mapping[str, list[float]], options: argparse.Namespace) -> None:
    """Mean J of each curve over the whole video and over its quarters."""
    from rich.console import Console
    from rich.table import Table

    quarters = [f"{part}/4" for part in range(1, 5)]
    table = Table("setting", "J", *quarters, title_justify="left",
                  title=f"{options.config}: mean J over {options.frames} frames of {options.size[1]} x "
                        f"{options.size[0]}, and over its quarters")
    for name, values in curves.items():
        parts = [part.mean() if len(part) else float("nan") for part in np.array_split(np.array(values), 4)]
        table.add_row(name, f"{np.mean(values) if values else float('nan'):.3f}", *(f"{part:.3f}" for part in parts))
    Console(width=120).print(table)


def plot(curves: Mapping[str, list[float]], name: str) -> None:
    """Running means of the curves, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, values in curves.items():
        width = min(SMOOTHED, len(values))
        smooth = np.convolve(values, np.full(width, 1 / max(1, width)), mode="valid") if values else []
        axes.plot(1 + width // 2 + np.arange(len(smooth)), smooth, linewidth=1, label=label)
    axes.set(xlabel="frame", ylabel=f"J, mean over {SMOOTHED} frames", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(name)


if __name__ == "__main__":
    raise SystemExit(main())
