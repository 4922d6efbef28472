"""Recording and plotting the resident memory of this process over a video."""

import contextlib
import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

from ..utils.errors import InputError
from ..utils.files import write_json, write_text, write_via
from ..utils.process_memory import resident_mib
from ..visualization.figures import need_matplotlib, new_figure


class MemoryLog:
    """Resident memory per frame, written when the context ends, also by an error.

    Args:
        path: ``.csv``, ``.json``, or ``.png`` (a plot, needs matplotlib).

    Raises:
        InputError: another suffix, or matplotlib is missing for a plot.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if self.path.suffix.lower() not in (".csv", ".json", ".png"):
            raise InputError(f"memory log {path}: the suffix must be .csv, .json or .png")
        if self.path.suffix.lower() == ".png":
            need_matplotlib()
        self.frames: list[int] = []
        self.values: list[float] = []

    def record(self, frame: int) -> None:
        """Take the memory after frame ``frame``."""
        self.frames.append(frame)
        self.values.append(resident_mib())

    def growth(self, start: int) -> float | None:
        """MiB per 1,000 frames from the frame ``start`` on (least squares); None with fewer than two frames."""
        pairs = [(f, v) for f, v in zip(self.frames, self.values, strict=True) if f >= start]
        if len(pairs) < 2:
            return None
        mean_f = sum(f for f, _ in pairs) / len(pairs)
        mean_v = sum(v for _, v in pairs) / len(pairs)
        spread = sum((f - mean_f) ** 2 for f, _ in pairs)
        return 1000 * sum((f - mean_f) * (v - mean_v) for f, v in pairs) / spread

    def save(self) -> None:
        """Write the file."""
        suffix = self.path.suffix.lower()
        if suffix == ".json":
            write_json(self.path, {"frame": self.frames, "resident_mib": self.values})
        elif suffix == ".csv":
            buffer = io.StringIO()
            rows = csv.writer(buffer, lineterminator="\n")
            rows.writerow(["frame", "resident_mib"])
            rows.writerows((f, f"{v:.2f}") for f, v in zip(self.frames, self.values, strict=True))
            write_text(self.path, buffer.getvalue())
        else:
            write_via(self.path, self._plot)

    def __enter__(self) -> "MemoryLog":
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        # A failure to write must not hide the error that ended the run.
        with contextlib.suppress(Exception) if kind is not None else contextlib.nullcontext():
            self.save()

    def _plot(self, name: str) -> None:
        figure = new_figure(8, 4)
        axes = figure.add_subplot()
        axes.plot(self.frames, self.values, linewidth=1)
        axes.set(xlabel="frame", ylabel="resident memory (MiB)", ylim=(0, 1.1 * max(self.values, default=1)))
        axes.grid(alpha=0.3)
        figure.savefig(name)


def slowdown(seconds: Sequence[float]) -> float:
    """Median time of the last quarter of a video's frames over that of the second quarter; ``seconds`` of each frame.

    The first quarter is for memories to fill.
    """
    quarter = len(seconds) // 4
    early, late = seconds[quarter : 2 * quarter], seconds[len(seconds) - quarter :]
    return statistics.median(late) / statistics.median(early)
