"""Figures of matplotlib that belong to no window."""

from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.files import write_via


def need_matplotlib() -> None:
    """Raise :class:`InputError` if plots cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("a plot needs matplotlib (`pip install matplotlib`); or write .csv") from error


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches.

    Raises:
        InputError: matplotlib is missing.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure as PNG, atomically."""
    write_via(path, figure.savefig)
