"""The target model of one object, and the samples that it is learnt from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..online import Direction, FilterProblem

SAMPLES = ("hidden", "stencil", "target", "weights")


@dataclass
class Target:
    """The target model of one object and its samples, N of at most ``capacity``.

    Attributes:
        project: (C, Cin, 1, 1).
        filter: (1, C, 3, 3).
        hidden: (capacity, C, h, w) projected features.
        stencil, target: (capacity, 9, h, w), (capacity, h, w), see :func:`~..online.label_stencil`.
        weights: (capacity,) of the samples; they sum to 1.
        used: N.
        first: number of samples of the given mask; they come first.
        previous: slot that was written last.
        seen: number of frames that the model has classified.
        direction: of the optimiser of the filter.
    """

    project: Tensor
    filter: Tensor
    hidden: Tensor
    stencil: Tensor
    target: Tensor
    weights: Tensor
    used: int
    first: int
    previous: int | None = None
    seen: int = 0
    direction: Direction = field(default_factory=Direction)

    def problem(self, penalty: float) -> FilterProblem:
        """The problem in the filter over all samples."""
        used = self.used
        return FilterProblem(self.hidden[:used], self.stencil[:used], self.target[:used],
                             self.weights[:used].to(self.hidden), penalty)

    def resized(self, room: int) -> "Target":
        """The same with room for so many samples, of which at least those in use have to fit."""
        for name in SAMPLES:
            setattr(self, name, enlarged(getattr(self, name)[: self.used], room))
        return self

    def packed(self) -> dict[str, Any]:
        """All of it in tensors and plain values, for a file."""
        found = {name: value for name, value in vars(self).items() if name != "direction"}
        found.update({name: found[name][: self.used].clone() for name in SAMPLES})
        return {**found, "direction": dict(vars(self.direction))}

    @classmethod
    def unpacked(cls, values: Mapping[str, Any], device: torch.device) -> "Target":
        """What :meth:`packed` gave, on a device; weights of samples stay on the CPU."""
        found = {name: value.to(device) if isinstance(value, Tensor) and name != "weights" else value
                 for name, value in values.items() if name != "direction"}
        direction = Direction(**{name: moved(value, device) for name, value in values["direction"].items()})
        return cls(**found, direction=direction)


def moved(value: Any, device: torch.device) -> Any:
    """A tensor, or a list of tensors, on a device; anything else as it is."""
    if isinstance(value, list):
        return [moved(item, device) for item in value]
    return value.to(device) if isinstance(value, Tensor) else value


def enlarged(x: Tensor, count: int) -> Tensor:
    """(N, ...) -> (count, ...), zeros behind."""
    out = x.new_zeros(count, *x.shape[1:])
    out[: len(x)] = x
    return out
