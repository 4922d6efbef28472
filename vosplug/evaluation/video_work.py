"""Multiply-accumulates per module over the frames of a video, done and as a dense model would do them."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..structures import Work
from .complexity import StageCounter
from .sparsity import SparsityReport, replaced_step


class VideoWork:
    """Sums what a segmentor does, frame by frame; of single frames only the last one's work is held.

    Attributes:
        frames: frames seen.
        objects: sum over the frames of the objects that were tracked after each.
        done: module -> multiply-accumulates, gates included.
        sparsity: what the sparse convolutions computed.
        latest: work of the sparse convolutions on the last frame.
    """

    def __init__(self):
        self.frames = 0
        self.objects = 0
        self.done: dict[str, int] = defaultdict(int)
        self.sparsity = SparsityReport()
        self.latest: list[Work] = []

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator["VideoWork"]:
        """Count all frames that ``model`` segments inside."""
        step = model.step

        def watched(*args, **options):
            counter = StageCounter(model)
            with counter.count():
                output = step(*args, **options)
            for name, macs in counter.counts.items():
                self.done[name] += macs
            self.frames += 1
            self.objects += len(output.ids)
            self.latest = output.noted(Work)
            self.sparsity.add(self.latest)
            return output

        with replaced_step(model, watched):
            yield self

    def as_json(self) -> dict:
        """Means per frame: ``modules`` (``macs_g``, ``dense_macs_g``, ``saved``), ``total``, and ``sparsity``."""
        frames = max(1, self.frames)
        modules = {}
        for name, done in self.done.items():
            counts = self.sparsity.total(f"{name}.")
            modules[name] = entry(done / frames, (done - counts.macs + counts.dense_macs) / frames)
        done, dense = (1e9 * sum(m[key] for m in modules.values()) for key in ("macs_g", "dense_macs_g"))
        return {"frames": self.frames, "objects": self.objects / frames,
                "modules": {name: m for name, m in modules.items() if m["dense_macs_g"]},
                "total": entry(done, dense), "sparsity": self.sparsity.as_json()}


def entry(done: float, dense: float) -> dict[str, float]:
    """Work of a module: done, of the dense model, and the share that was saved."""
    return {"macs_g": done / 1e9, "dense_macs_g": dense / 1e9, "saved": 1 - done / dense if dense else 0.0}
