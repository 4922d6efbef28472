"""What one frame leaves in a memory: tensors by name, shared by the objects of the frame or one per object."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...utils.errors import InputError


@dataclass(eq=False)
class MemoryEntry:
    """What one frame left in the memory: N tokens, each with what the method keeps of it.

    ``entry["key"]`` reads a tensor of either kind. STCN and XMem keep ``key`` (B, Ck, N) and per object ``value``
    (B, O, Cv, N), XMem also ``shrinkage`` (B, 1, N) and ``selection`` (B, Ck, N); a method with several layers names
    its tensors by layer (``k0``, ``v0``, ...); one that keeps features and labels has no tensors per object.

    Attributes:
        frame: index of the frame.
        frame_tensors: name -> (B, ..., N).
        object_tensors: name -> (B, O, ..., N); zeros for objects that are not valid.
        valid: (B, O) bool on the CPU: the objects that the entry serves.
        grid: (h, w) with h * w = N where tokens lie on the frame's grid, else None.
        prompted: an object was started at this frame: its only certain mask.
    """

    frame: int
    frame_tensors: dict[str, Tensor]
    object_tensors: dict[str, Tensor] = field(default_factory=dict)
    valid: Tensor = field(kw_only=True)
    grid: tuple[int, int] | None = None
    prompted: bool = False

    def __post_init__(self):
        twice = self.frame_tensors.keys() & self.object_tensors.keys()
        if twice or not (self.frame_tensors or self.object_tensors):
            raise InputError(f"the memory entry of frame {self.frame} needs tensors of different names, got "
                             f"{sorted(self.frame_tensors)} per frame and {sorted(self.object_tensors)} per object")
        for tensors, lead in ((self.frame_tensors, self.valid.shape[:1]), (self.object_tensors, self.valid.shape)):
            for name, x in tensors.items():
                if x.shape[: len(lead)] != lead or x.shape[-1] != self.tokens:
                    raise InputError(f"the tensor {name!r} in the memory entry of frame {self.frame} must be "
                                     f"({', '.join(map(str, lead))}, ..., {self.tokens}), got {tuple(x.shape)}")

    def __getitem__(self, name: str) -> Tensor:
        tensors = self.frame_tensors if name in self.frame_tensors else self.object_tensors
        if name not in tensors:
            raise InputError(f"the memory entry of frame {self.frame} has no tensor {name!r}, only "
                             f"{', '.join([*self.frame_tensors, *self.object_tensors])}: this part cannot read what "
                             "the method keeps")
        return tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.frame_tensors or name in self.object_tensors

    @property
    def tokens(self) -> int:
        """N."""
        return next(iter((self.frame_tensors or self.object_tensors).values())).shape[-1]

    @property
    def objects(self) -> int:
        """O at the time of writing; objects that started later are not served."""
        return self.valid.shape[1]

    def positions(self, grid: tuple[int, int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor] | None:
        """Rows and columns (N,) float32 of the tokens on a map of ``grid`` cells; None if they have no place there."""
        if self.grid != grid:
            return None
        y, x = torch.meshgrid(*(torch.arange(side, device=device, dtype=torch.float32) for side in grid), indexing="ij")
        return y.flatten(), x.flatten()

    def by_token(self, name: str) -> Tensor:
        """A tensor (B, O, C, N) as (B, N, O, C), a token's values side by side: from then on the entry holds a view."""
        values = self[name].permute(0, 3, 1, 2)
        if not values.is_contiguous():
            values = values.contiguous()
            self.object_tensors[name] = values.permute(0, 2, 3, 1)
        return values

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` (sorted channel numbers)."""
        keep = keep[keep < self.objects]
        self.object_tensors = {name: x[:, keep.to(x.device)] for name, x in self.object_tensors.items()}
        self.valid = self.valid[:, keep]


def joined(entries: Sequence[MemoryEntry], names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors per frame of entries side by side, (B, ..., N) of all tokens; of ``names`` those that all have."""
    names = entries[0].frame_tensors if names is None else names
    return {name: torch.cat([entry.frame_tensors[name] for entry in entries], dim=-1) for name in names
            if all(name in entry.frame_tensors for entry in entries)}


def keep_channels(entries: Iterable[MemoryEntry | None], keep: Tensor) -> None:
    """Drop object channels of entries, of one that is given twice only once."""
    for entry in {id(entry): entry for entry in entries if entry is not None}.values():
        entry.keep_objects(keep)


def serving(entries: Iterable[MemoryEntry]) -> list[MemoryEntry]:
    """The entries that serve an object."""
    return [entry for entry in entries if entry.valid.any()]
