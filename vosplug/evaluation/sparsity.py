"""What sparse convolutions really computed: per layer and module, over the frames of a video."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from ..models.backbones.sparse_convs import SparseConv
from ..models.backbones.sparse_convs.constructed import PAPER_SHARES, ClusteredPolicy
from ..structures import Work
from ..utils.errors import InputError


@dataclass
class LayerCounts:
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

    def include(self, other: "LayerCounts") -> None:
        """Add what another counted."""
        for key, value in vars(other).items():
            setattr(self, key, getattr(self, key) + value)

    def as_json(self) -> dict:
        """Frames, shares of the three policies on sparse frames (None without one), and work."""
        sites = self.skipped + self.reused + self.computed
        names = ("skipped", "reused", "computed")
        shares = {name: getattr(self, name) / sites if sites else None for name in names}
        return {"sparse_frames": self.sparse_frames, "dense_frames": self.dense_frames, **shares,
                "macs_g": self.macs / 1e9, "dense_macs_g": self.dense_macs / 1e9}


class SparsityReport:
    """Sums what layers did over frames; the work of a frame is among ``StepOutput.notes``."""

    def __init__(self):
        self.frames = 0
        self.layers: dict[str, LayerCounts] = {}

    def add(self, work: Iterable[Work]) -> None:
        """Add a frame."""
        self.frames += 1
        for item in work:
            self.layers.setdefault(item.layer, LayerCounts()).add(item)

    @contextmanager
    def watch(self, model: nn.Module):
        """Add all frames that ``model`` segments inside.

        Raises:
            InputError: the model has no sparse convolution.
        """
        if not sparse_layers(model):
            raise InputError(f"this {type(model).__name__} has no sparse convolution: nothing can be reported")
        step = model.step

        def watched(*args, **options):
            output = step(*args, **options)
            self.add(output.noted(Work))
            return output

        with replaced_step(model, watched):
            yield self

    @classmethod
    def of(cls, model: object) -> AbstractContextManager["SparsityReport | None"]:
        """A report that watches ``model``, or None inside for a model without sparse convolutions."""
        sparse = isinstance(model, nn.Module) and sparse_layers(model)
        return cls().watch(model) if sparse else nullcontext()

    @classmethod
    def merged(cls, reports: Iterable["SparsityReport"]) -> "SparsityReport":
        """Sum of reports, of several processes for instance."""
        result = cls()
        for report in reports:
            result.frames += report.frames
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

    def as_json(self) -> dict:
        """Stable keys: ``frames``, ``density``, ``total``, ``modules`` and ``layers``."""
        modules = dict.fromkeys(name.split(".")[0] for name in self.layers)
        return {
            "frames": self.frames, "density": self.density(), "total": self.total().as_json(),
            "modules": {name: {"density": self.density(f"{name}."), **self.total(f"{name}.").as_json()}
                        for name in modules},
            "layers": {name: counts.as_json() for name, counts in self.layers.items()}}


def sparse_layers(model: nn.Module) -> list[SparseConv]:
    """All sparse convolutions of a model."""
    return [module for module in model.modules() if isinstance(module, SparseConv)]


@contextmanager
def replaced_step(model: nn.Module, step: Callable) -> Iterator[None]:
    """Let frames go through ``step`` instead of the model's own inside."""
    model.step = step
    try:
        yield
    finally:
        del model.step


def construct_density(model: nn.Module, density: float) -> None:
    """Make all gates compute a given share of the sites, in clusters, whatever they have learnt.

    What is not computed is reused and skipped in the paper's proportion (Fig. 5: 23.8 to 66.1).

    Raises:
        InputError: the model has no sparse convolution, or the density is not in 0..1.
    """
    layers = sparse_layers(model)
    if not layers:
        raise InputError("it has no sparse convolution whose density could be set")
    if not 0 <= density <= 1:
        raise InputError(f"a density must lie in 0..1, got {density}")
    reuse = (1 - density) * PAPER_SHARES[1] / (1 - PAPER_SHARES[0])
    for layer in layers:
        layer.forced = ClusteredPolicy(density, min(reuse, 1 - density))


def spatial_map(work: Iterable[Work], size: tuple[int, int], prefix: str = "") -> torch.Tensor:
    """Share of the layers that computed each location (Fig. 6), (H, W) float32; per-object layers count their mean.

    Args:
        work: of one frame.
        size: (H, W) of the map; policies are resized to it by nearest neighbour.
        prefix: only layers whose names begin so.
    """
    maps = [torch.nn.functional.interpolate((w.policy == 2).float().mean(dim=0)[None, None].cpu(), size=size)[0, 0]
            for w in work if w.policy is not None and w.layer.startswith(prefix)]
    return torch.stack(maps).mean(dim=0) if maps else torch.zeros(size)
