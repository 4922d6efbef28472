"""A memory of which a head reads a few points of each frame, as deformable attention does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..memories import MemoryEntry, MemoryState


@dataclass(eq=False, kw_only=True)
class SampledEntry(MemoryEntry):
    """An entry whose tokens are those of points over a grid; a point's place is its reference point.

    Attributes:
        over: (h, w) of the map that was sampled.
    """

    over: tuple[int, int]

    def positions(self, grid: tuple[int, int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor] | None:
        """Rows and columns (N,) float32 of the reference points."""
        from ...ops import reference_points  # loaded where it is needed

        if self.over != grid:
            return None
        return reference_points(self.over, self.grid, device=torch.device(device)).flatten(0, 1).unbind(dim=-1)


class SampledMemory:
    """What a head asks of a memory, with every entry that has a grid sampled at the same shifted points.

    Args:
        memory: of the video; told what of it was read.
        offsets: (B, S, 2, h_g, w_g) in cells.
        names: tensors per frame that the head compares, ``key`` first; and per object ``value`` is sampled.
    """

    def __init__(self, memory: MemoryState, offsets: Tensor, names: Sequence[str]):
        self.memory, self.offsets = memory, offsets
        self.sources = list(memory)
        self.entries = [entry if entry.grid is None else self.sampled(entry, names) for entry in self.sources]

    def __iter__(self) -> Iterator[MemoryEntry]:
        yield from self.entries

    def sampled(self, entry: MemoryEntry, names: Sequence[str]) -> SampledEntry:
        """An entry at the shifted points.

        Off the map keys and values read zeros (Eq. 4). What beside keys enters comparisons is a weight, for which zero
        has a meaning of its own (XMem's shrinkage is one at least): it is read at the nearest place on the map.
        """
        inside = None
        frame_tensors = {}
        for name in names:
            if name in entry:
                if name != "key" and inside is None:
                    inside = kept_inside(self.offsets, entry.grid)
                frame_tensors[name] = sample(entry[name], self.offsets if name == "key" else inside, entry.grid)
        value = entry["value"]
        objects = value.shape[1]
        read = sample(value.flatten(0, 1), self.offsets.repeat_interleave(objects, dim=0), entry.grid)
        return SampledEntry(entry.frame, frame_tensors, {"value": read.unflatten(0, value.shape[:2])},
                            valid=entry.valid, grid=tuple(self.offsets.shape[-2:]), prompted=entry.prompted,
                            over=entry.grid)

    def note_reading(self, entries: list[MemoryEntry], mass: Callable[[], Tensor], share: float) -> None:
        """Hand on what was read: the attention of a point goes to the cells that it was interpolated from."""
        numbers = [next(i for i, own in enumerate(self.entries) if own is entry) for entry in entries]

        def of_cells() -> Tensor:
            parts = mass().split([entry.tokens for entry in entries], dim=-1)
            return torch.cat([part if self.sources[n].grid is None else spread(part, self.offsets, self.sources[n].grid)
                              for n, part in zip(numbers, parts, strict=True)], dim=-1)

        self.memory.note_reading([self.sources[n] for n in numbers], of_cells, share)


def sample(x: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h*w) at shifted points, (B, C, h_g*w_g); group s moves the s-th C/S channels.

    Where the groups do not divide the channels, all are read at the points of every group, and averaged.
    """
    from ...ops import deformable_sample  # loaded where it is needed

    maps, groups = x.unflatten(2, size), offsets.shape[1]
    if x.shape[1] % groups == 0:
        return deformable_sample(maps, offsets).flatten(2)
    every = deformable_sample(maps.repeat(1, groups, 1, 1), offsets)
    return every.unflatten(1, (groups, -1)).mean(dim=1).flatten(2)


def spread(mass: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """The adjoint of sampling, mean over the groups: (B, h_g*w_g) of points -> (B, h*w) of cells."""
    from ...ops import deformable_sample  # loaded where it is needed

    groups, grid = offsets.shape[1], offsets.shape[-2:]
    with torch.enable_grad():
        cells = mass.new_zeros(len(mass), groups, *size, requires_grad=True)
        read = deformable_sample(cells, offsets.detach())
        given = mass.detach().unflatten(1, grid)[:, None].expand_as(read) / groups
        (found,) = torch.autograd.grad(read, cells, given)
    return found.sum(dim=1).flatten(1)


def kept_inside(offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """Offsets (B, S, 2, h_g, w_g) whose points stay between the outermost cells of a map."""
    from ...ops import reference_points  # loaded where it is needed

    points = reference_points(size, tuple(offsets.shape[-2:]), offsets.device, offsets.dtype).permute(2, 0, 1)
    last = torch.tensor(size, device=offsets.device, dtype=offsets.dtype).view(2, 1, 1) - 1
    return torch.minimum((points + offsets).clamp(min=0), last) - points
