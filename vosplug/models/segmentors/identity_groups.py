"""Which identity stands for which object: groups of at most n objects, one slot for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...structures import Rows, VideoState
from ...structures.rows import Key

SLOTS, GROUPS = "identity", "groups"


@dataclass(frozen=True)
class IdentityGroups:
    """The objects of a video, or of a batch of clips, in groups.

    Attributes:
        names: of the groups that have an object in some video, in the order in which they came: columns of the table.
        rows: one row per group and video.
        row: (B, O) int64 on the CPU, the row of the group of each object; -1 for objects that are not active.
        slot: (B, O) int64 on the CPU, the identity of each object in its group, from 1 (0 is the background's).
    """

    names: tuple[str, ...]
    rows: Rows
    row: Tensor
    slot: Tensor

    def members(self, key: Key) -> tuple[list[int], list[int]]:
        """Channels of the objects of a group, and their identities."""
        channels = (self.row[key[0]] == self.rows.keys.index(key)).nonzero().flatten()
        return channels.tolist(), self.slot[key[0], channels].tolist()

    def planes(self, masks: Tensor, rows: Rows, max_objects: int) -> Tensor:
        """Masks (B, O, H, W) by identity, (R, max_objects + 1, H, W) for groups: background is what no member has."""
        planes = masks.new_zeros(len(rows), max_objects + 1, *masks.shape[-2:])
        for place, key in enumerate(rows.keys):
            channels, slots = self.members(key)
            planes[place, slots] = masks[key[0], channels]
            planes[place, 0] = 1 - masks[key[0], channels].sum(dim=0)
        return planes

    def labels(self, masks: Tensor, rows: Rows) -> Tensor | None:
        """Masks (B, O, H, W) as identities (R, H, W) uint8; None if a pixel is of several objects or in part of one."""
        labels = []
        for key in rows.keys:
            channels, slots = self.members(key)
            own = masks[key[0]] if channels == list(range(masks.shape[1])) else masks[key[0], channels]
            numbers = torch.tensor(slots, dtype=masks.dtype, device=masks.device)
            labels.append(torch.tensordot(numbers, own, dims=1).to(torch.uint8))
            if not torch.equal((labels[-1] == numbers[:, None, None]).to(own.dtype), own):
                return None
        return torch.stack(labels)

    def columns_without(self, channels: Sequence[int]) -> Tensor:
        """Columns of the table that are left when the objects of ``channels`` go."""
        row = self.row.clone()
        row[:, channels] = -1
        used = set(self.rows.slot.cpu()[row[row >= 0]].tolist())
        return torch.tensor(sorted(used), dtype=torch.long)


class IdentitySlots:
    """Gives every object a slot, for as long as it lives, and never gives a slot twice.

    What a group remembers of an object carries the object's identity, and stays in memory when the object has gone.
    Its slot is therefore retired: another object would be taken for it. New objects take the slots that were never
    given, and start a new group where there are none. A group whose objects have all gone is dropped.

    The slots are in ``state.objects``; how many slots of each group have been given is in ``state.cache``.

    Args:
        max_objects: slots of a group.
    """

    def __init__(self, max_objects: int):
        self.max_objects = max_objects

    def of(self, state: VideoState, device: torch.device | str = "cpu", shuffle: bool = False) -> IdentityGroups:
        """The groups of the active objects, which get slots if they have none.

        Args:
            state: of the video.
            device: of the rows.
            shuffle: slots are taken in random order, as training does, so that all identities are learnt.
        """
        self._assign(state, shuffle)
        objects = Rows.of_table(state.active, state.ids.ids)
        slots = torch.zeros(*state.active.shape, 2, dtype=torch.long)
        if len(objects):
            slots = objects.scatter(state.objects.read(SLOTS, objects))
        number, slot = slots.unbind(dim=-1)
        living = sorted(set(number[state.active].tolist()))
        exists = torch.zeros(state.batch_size, len(living), dtype=torch.bool)
        for column, group in enumerate(living):
            exists[:, column] = ((number == group) & state.active).any(dim=1)
        rows = Rows.of_table(exists, [name_of(group) for group in living], device)
        places = {key: place for place, key in enumerate(rows.keys)}
        row = torch.full(state.active.shape, -1, dtype=torch.long)
        for b, o in state.active.nonzero().tolist():
            row[b, o] = places[b, name_of(int(number[b, o]))]
        return IdentityGroups(tuple(map(name_of, living)), rows, row, slot)

    def _assign(self, state: VideoState, shuffle: bool) -> None:
        objects = Rows.of_table(state.active, state.ids.ids)
        new = objects.select(~state.objects.has(SLOTS, objects))
        if len(new):
            slots = [self._next(state, b, shuffle) for b, _ in new.keys]
            state.objects.write(SLOTS, new, torch.tensor(slots, dtype=torch.long))

    def _next(self, state: VideoState, video: int, shuffle: bool) -> tuple[int, int]:
        """Number of the group and slot of the next object of a video."""
        free = state.cache.setdefault(GROUPS, [{} for _ in range(state.batch_size)])[video]
        number = next((n for n, slots in free.items() if slots), None)
        if number is None:
            number = max(free, default=-1) + 1
            order = (torch.randperm(self.max_objects) if shuffle else torch.arange(self.max_objects)) + 1
            free[number] = order.tolist()
        return number, free[number].pop(0)

    def retire(self, state: VideoState) -> None:
        """Close the groups that have no object any more: what is free in them is never given."""
        living = set(self.of(state).rows.keys)
        for video, free in enumerate(state.cache.get(GROUPS, [])):
            for number in free:
                if (video, name_of(number)) not in living:
                    free[number] = []


def name_of(group: int) -> str:
    """What keys call a group."""
    return f"group {group}"
