"""What parts of a model really did: sparse layers and reuse gates alike, over the frames of a video."""

import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..models.gates import Gate
from ..structures import Decision, StepOutput, Work
from ..structures.rows import Key
from ..utils.errors import InputError
from .flop_mode import FlopMode


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
class RowCounts(Counts):
    """Frames of a row (an object, ...) after the one on which it starts.

    Attributes:
        frames: all of them.
        free: those that left a choice.
        reused: those that were not computed for it.
    """

    frames: int = 0
    free: int = 0
    reused: int = 0


class ReuseCounts:
    """What reuse gates decided about the rows of videos.

    Attributes:
        rows: (video, key of the row) -> its counts; the video is None where nobody named it.
    """

    def __init__(self):
        self.rows: dict[tuple[str | None, Key], RowCounts] = {}

    def add(self, video: str | None, decision: Decision) -> None:
        """Add a frame."""
        forced = [False] * len(decision.keys) if decision.forced is None else decision.forced.tolist()
        for key, reused, held in zip(decision.keys, decision.reused.tolist(), forced, strict=True):
            counts = self.rows.setdefault((video, key), RowCounts())
            counts.include(RowCounts(1, int(not held), int(reused)))

    def include(self, other: "ReuseCounts") -> None:
        """Add what another counted."""
        for name, counts in other.rows.items():
            self.rows.setdefault(name, RowCounts()).include(counts)

    def total(self) -> RowCounts:
        """Sums over all rows."""
        result = RowCounts()
        for counts in self.rows.values():
            result.include(counts)
        return result

    def rate(self, video: str | None = None) -> float | None:
        """Mean over the rows (of a video) of the share of their frames that was reused; None without one."""
        shares = [counts.reused / counts.frames for (name, _), counts in self.rows.items()
                  if video is None or name == video]
        return statistics.fmean(shares) if shares else None

    def as_json(self) -> dict:
        """Sums, and the rate."""
        return {**vars(self.total()), "rate": self.rate()}


class WorkReport:
    """Sums what the parts of a model note frame by frame, see :mod:`vosplug.structures.notes`.

    Attributes:
        frames: seen.
        layers: what each layer (or other part that notes its :class:`Work`) did.
        reuse: what reuse gates decided.
        video: name of the video that frames are of from here on.
        videos: name -> (frames, multiply-accumulates really done), where these are counted.
    """

    def __init__(self):
        self.frames = 0
        self.video: str | None = None
        self.videos: dict[str | None, tuple[int, int]] = {}
        self.layers: dict[str, LayerCounts] = {}
        self.reuse = ReuseCounts()

    def add(self, notes: Iterable[Any]) -> None:
        """Add the notes of a frame."""
        self.frames += 1
        for note in notes:
            if isinstance(note, Work):
                self.layers.setdefault(note.layer, LayerCounts()).add(note)
            elif isinstance(note, Decision):
                self.reuse.add(self.video, note)

    @contextmanager
    def watch(self, model: Any, count: bool = False) -> Iterator["WorkReport"]:
        """Add all frames that ``model`` segments inside.

        Args:
            count: multiply-accumulates of each frame too, which makes small models slower by a tenth or two.
        """
        counter, before = FlopMode(), 0

        def see(output: StepOutput) -> None:
            nonlocal before
            self.add(output.notes)
            if count:
                frames, macs = self.videos.get(self.video, (0, 0))
                self.videos[self.video] = frames + 1, macs + (counter.flops - before) // 2
                before = counter.flops

        with observing(model, see), counter if count else nullcontext():
            yield self

    def macs_g(self, video: str | None = None) -> float | None:
        """Multiply-accumulates per frame (of a video) in billions; None where they were not counted."""
        chosen = [counts for name, counts in self.videos.items() if video is None or name == video]
        frames = sum(count for count, _ in chosen)
        return sum(macs for _, macs in chosen) / frames / 1e9 if frames else None

    @classmethod
    def merged(cls, reports: Iterable["WorkReport"]) -> "WorkReport":
        """Sum of reports, of several processes for instance."""
        result = cls()
        for report in reports:
            result.frames += report.frames
            result.reuse.include(report.reuse)
            for name, (frames, macs) in report.videos.items():
                before = result.videos.get(name, (0, 0))
                result.videos[name] = before[0] + frames, before[1] + macs
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
        """``density`` of the work of layers, ``reuse_rate`` of gates, ``macs_g`` per frame; of what there is."""
        return {**({"density": self.density()} if self.layers else {}),
                **({"reuse_rate": self.reuse.rate()} if self.reuse.rows else {}),
                **({"macs_g": self.macs_g()} if self.videos else {})}

    def by_video(self) -> dict[str, dict[str, float | None]]:
        """``reuse_rate`` and ``macs_g`` of each video whose multiply-accumulates were counted."""
        return {name: {"reuse_rate": self.reuse.rate(name), "macs_g": self.macs_g(name)} for name in self.videos
                if name is not None}

    def video_lines(self) -> list[str]:
        """What :meth:`by_video` gives, for people."""
        return [f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in numbers.items()
                                        if value is not None) for name, numbers in self.by_video().items()]

    def lines(self) -> list[str]:
        """The same for people."""
        meanings = {"density": "share of the multiply-accumulates that gated layers did on sparse frames",
                    "reuse_rate": "share of the frames after its first that an object reuses, mean over objects",
                    "macs_g": "billions of multiply-accumulates per frame, really done"}
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


def is_gated(model: Any) -> bool:
    """Whether a reuse gate decides what a model does on a frame."""
    return any(isinstance(module, Gate) for module in model.modules()) if isinstance(model, nn.Module) else False


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
