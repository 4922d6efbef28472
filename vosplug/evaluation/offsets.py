"""Where deformable attention moves its points: recorded while a model runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..models.layers.gated_deformable_attention import PLACES
from ..models.layers.offset_network import OffsetNetwork


@dataclass
class MovedPoints:
    """The points of one offset network on one frame.

    Attributes:
        place: ``long_term``, ``short_term`` or ``self``; ``memory`` in front of a matching head.
        size: (h, w) of the map, in cells.
        offsets: (R, S, 2, h_g, w_g) in cells, float64 on the CPU.
    """

    place: str
    size: tuple[int, int]
    offsets: Tensor

    @property
    def references(self) -> Tensor:
        """(2, h_g, w_g) rows and columns of the reference points, in cells."""
        from ..ops import reference_points  # loaded where it is needed

        return reference_points(self.size, tuple(self.offsets.shape[-2:]), dtype=torch.float64).permute(2, 0, 1)

    @property
    def lengths(self) -> Tensor:
        """(R, S, h_g, w_g) how far each point went, in cells."""
        return self.offsets.norm(dim=2)

    @property
    def outside(self) -> Tensor:
        """(R, S, h_g, w_g) bool: the point lies beyond the outer edge of the map's cells."""
        last = torch.tensor(self.size, dtype=torch.float64).view(2, 1, 1) - 0.5
        moved = self.references + self.offsets
        return ((moved < -0.5) | (moved > last)).any(dim=2)


@dataclass
class OffsetWatch:
    """What the offset networks of a model did.

    Attributes:
        latest: the last points of each network, by its name in the model.
        totals: for each, the sum of lengths, the number of points outside the map and that of all points.
    """

    latest: dict[str, MovedPoints] = field(default_factory=dict)
    totals: dict[str, Tensor] = field(default_factory=dict)

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[int]:
        """Record what runs inside; gives the number of networks that the model has."""
        found = {name: part for name, part in model.named_modules() if isinstance(part, OffsetNetwork)}
        handles = [part.register_forward_hook(lambda _m, inputs, out, name=name: self.note(name, inputs[0], out))
                   for name, part in found.items()]
        try:
            yield len(found)
        finally:
            for handle in handles:
                handle.remove()

    def note(self, name: str, query: Tensor, offsets: Tensor) -> None:
        """Book the offsets of a query (R, C, h, w)."""
        place = name.rpartition(".")[2]
        points = MovedPoints(place if place in PLACES else "memory", tuple(query.shape[-2:]),
                             offsets.detach().double().cpu())
        self.latest[name] = points
        counts = torch.stack([points.lengths.sum(), points.outside.sum().double(),
                              torch.tensor(points.lengths.numel(), dtype=torch.float64)])
        self.totals[name] = self.totals.get(name, 0) + counts

    def as_json(self) -> dict[str, dict[str, float]]:
        """Per network: ``mean_offset`` in cells, ``outside`` (share of points off the map), ``points``."""
        return {name: {"mean_offset": float(length / count), "outside": float(out / count), "points": int(count)}
                for name, (length, out, count) in self.totals.items()}
