"""Multiply-accumulates per module over the frames of a video, done and as a dense model would do them."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..structures import StepOutput, Work
from .stage_counter import StageCounter
from .work_report import WorkReport, observing


class VideoWork:
    """Sums what a segmentor does, frame by frame; of single frames only the last one's work is held.

    Attributes:
        frames: frames seen.
        objects: sum over the frames of the objects that were tracked after each.
        done: module -> multiply-accumulates, gates included.
        report: what sparse layers and gates did.
        latest: work of the sparse layers on the last frame.
    """

    def __init__(self):
        self.frames = 0
        self.objects = 0
        self.done: dict[str, int] = defaultdict(int)
        self.report = WorkReport()
        self.latest: list[Work] = []

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator["VideoWork"]:
        """Count all frames that ``model`` segments inside."""
        counter = StageCounter(model)
        with observing(model, self.see), counter.count():
            yield self
        for name, macs in counter.counts.items():
            self.done[name] += macs

    def see(self, output: StepOutput) -> None:
        """Take a frame."""
        self.frames += 1
        self.objects += len(output.ids)
        self.latest = output.noted(Work)
        self.report.add(output.notes)

    def as_json(self) -> dict:
        """Means per frame: ``modules`` (``macs_g``, ``dense_macs_g``, ``saved``), ``total``, and ``sparsity``."""
        frames = max(1, self.frames)
        modules = {}
        for name, done in self.done.items():
            counts = self.report.total(f"{name}.")
            modules[name] = entry(done / frames, (done - counts.macs + counts.dense_macs) / frames)
        done, dense = (1e9 * sum(m[key] for m in modules.values()) for key in ("macs_g", "dense_macs_g"))
        return {"frames": self.frames, "objects": self.objects / frames,
                "modules": {name: m for name, m in modules.items() if m["dense_macs_g"]},
                "total": entry(done, dense), "sparsity": self.report.as_json()}


def entry(done: float, dense: float) -> dict[str, float]:
    """Work of a module: done, of the dense model, and the share that was saved."""
    return {"macs_g": done / 1e9, "dense_macs_g": dense / 1e9, "saved": 1 - done / dense if dense else 0.0}
