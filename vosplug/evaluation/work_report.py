"""What parts of a model really did: sparse layers and reuse gates alike, over the frames of a video."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..structures import Decision, StepOutput, Work
from ..utils.errors import InputError


class Counts:
    """Sums that can be joined."""

    def include(self, other: "Counts") -> None:
        """Add what another counted."""
        for key, value in vars(other).items():
            setattr(self, key, getattr(self, key) + value)


@dataclass
class LayerCounts(Counts):
    """Sites and multiply-accumulates of a layer.

    Attributes:
        sparse_frames, dense_frames: in which the layer ran with, and without, its gate deciding.
        skipped, reused, computed: sites of the sparse frames.
        macs, dense_macs: done in all frames (gate included), and what the dense convolution would have done.
        sparse_macs, sparse_dense_macs: the same of sparse frames.
    """

    sparse_frames: int = 0
    dense_frames: int = 0
    skipped: int = 0
    reused: int = 0
    computed: int = 0
    macs: int = 0
    dense_macs: int = 0
    sparse_macs: int = 0
    sparse_dense_macs: int = 0

    def add(self, work: Work) -> None:
        """Add a frame."""
        macs = work.macs
        self.macs, self.dense_macs = self.macs + macs, self.dense_macs + work.dense_macs
        if work.policy is None:
            self.dense_frames += 1
            return
        skipped, reused, computed = work.counts()
        self.sparse_frames += 1
        self.skipped, self.reused = self.skipped + skipped, self.reused + reused
        self.computed += computed
        self.sparse_macs, self.sparse_dense_macs = self.sparse_macs + macs, self.sparse_dense_macs + work.dense_macs

    def as_json(self) -> dict:
        """Frames, shares of the three policies on sparse frames (None without one), and work."""
        sites = self.skipped + self.reused + self.computed
        names = ("skipped", "reused", "computed")
        shares = {name: getattr(self, name) / sites if sites else None for name in names}
        return {"sparse_frames": self.sparse_frames, "dense_frames": self.dense_frames, **shares,
                "macs_g": self.macs / 1e9, "dense_macs_g": self.dense_macs / 1e9}


@dataclass
class ReuseCounts(Counts):
    """Rows (objects, ...) that a reuse gate decided about, frame by frame.

    Attributes:
        rows: seen in all frames.
        free: those that left a choice.
        reused: those for which the frame was not computed.
    """

    rows: int = 0
    free: int = 0
    reused: int = 0

    def add(self, decision: Decision) -> None:
        """Add a frame."""
        rows = len(decision.reused)
        self.rows += rows
        self.free += rows - (0 if decision.forced is None else int(decision.forced.sum()))
        self.reused += int(decision.reused.sum())

    @property
    def rate(self) -> float | None:
        """Share of the rows that were reused; None without one."""
        return self.reused / self.rows if self.rows else None

    def as_json(self) -> dict:
        """Rows, and the share of them that was reused."""
        return {**vars(self), "rate": self.rate}


class WorkReport:
    """Sums what the parts of a model note frame by frame, see :mod:`vosplug.structures.notes`.

    Attributes:
        frames: seen.
        layers: what each layer (or other part that notes its :class:`Work`) did.
        reuse: what reuse gates decided.
    """

    def __init__(self):
        self.frames = 0
        self.layers: dict[str, LayerCounts] = {}
        self.reuse = ReuseCounts()

    def add(self, notes: Iterable[Any]) -> None:
        """Add the notes of a frame."""
        self.frames += 1
        for note in notes:
            if isinstance(note, Work):
                self.layers.setdefault(note.layer, LayerCounts()).add(note)
            elif isinstance(note, Decision):
                self.reuse.add(note)

    @contextmanager
    def watch(self, model: Any) -> Iterator["WorkReport"]:
        """Add all frames that ``model`` segments inside."""
        with observing(model, lambda output: self.add(output.notes)):
            yield self

    @classmethod
    def merged(cls, reports: Iterable["WorkReport"]) -> "WorkReport":
        """Sum of reports, of several processes for instance."""
        result = cls()
        for report in reports:
            result.frames += report.frames
            result.reuse.include(report.reuse)
            for name, counts in report.layers.items():
                result.layers.setdefault(name, LayerCounts()).include(counts)
        return result

    def total(self, prefix: str = "") -> LayerCounts:
        """Sums over the layers whose names begin with ``prefix``."""
        result = LayerCounts()
        for name, counts in self.layers.items():
            if name.startswith(prefix):
                result.include(counts)
        return result

    def density(self, prefix: str = "") -> float | None:
        """Share of the multiply-accumulates that was done on sparse frames, gates not counted; None without one."""
        layers = [(counts, counts.skipped + counts.reused + counts.computed) for name, counts in self.layers.items()
                  if name.startswith(prefix) and counts.sparse_frames]
        whole = sum(counts.sparse_dense_macs for counts, _ in layers)
        done = sum(counts.sparse_dense_macs * counts.computed / sites for counts, sites in layers if sites)
        return done / whole if whole else None

    def numbers(self) -> dict[str, float | None]:
        """The shares: ``density`` of the work of layers, ``reuse_rate`` of gates; of what the model has."""
        return {**({"density": self.density()} if self.layers else {}),
                **({"reuse_rate": self.reuse.rate} if self.reuse.rows else {})}

    def lines(self) -> list[str]:
        """The same for people."""
        meanings = {"density": "share of the multiply-accumulates that gated layers did on sparse frames",
                    "reuse_rate": "share of the objects, frame by frame, whose features were reused"}
        return [f"{name.replace('_', ' ')} {value:.4f}: {meanings[name]}" for name, value in self.numbers().items()
                if value is not None]

    def as_json(self) -> dict:
        """Stable keys: ``frames``, ``density``, ``total``, ``modules``, ``layers``, and ``reuse`` of reuse gates."""
        modules = dict.fromkeys(name.split(".")[0] for name in self.layers)
        return {
            "frames": self.frames, "density": self.density(), "total": self.total().as_json(),
            "modules": {name: {"density": self.density(f"{name}."), **self.total(f"{name}.").as_json()}
                        for name in modules},
            "layers": {name: counts.as_json() for name, counts in self.layers.items()},
            **({"reuse": self.reuse.as_json()} if self.reuse.rows else {})}


@contextmanager
def observing(model: Any, observer: Callable[[StepOutput], None]) -> Iterator[None]:
    """Show every frame that ``model`` segments inside to ``observer``; models that nobody can observe show nothing."""
    observers = getattr(model, "observers", [])
    observers.append(observer)
    try:
        yield
    finally:
        observers.remove(observer)


def adjustable_parts(model: nn.Module) -> list[nn.Module]:
    """Parts of a model that can be told which share of their work to do: those with ``compute_share(share)``."""
    return [module for module in model.modules() if hasattr(module, "compute_share")]


def set_density(model: nn.Module, density: float, where: str) -> None:
    """Let all adjustable parts do a given share of their work, whatever their gates have learnt.

    Args:
        model: with such parts.
        density: the share.
        where: option and model, for messages.

    Raises:
        InputError: the model has no such part, or the density is not in 0..1.
    """
    parts = adjustable_parts(model)
    if not parts:
        raise InputError(f"{where}: it has no sparse convolution, nor another part that could do a share of its work")
    if not 0 <= density <= 1:
        raise InputError(f"{where}: a density must lie in 0..1, got {density}")
    for part in parts:
        part.compute_share(density)
