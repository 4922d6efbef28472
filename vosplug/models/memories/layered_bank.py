"""AOT's memory: keys and values of every layer, of long-term frames and of the last one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...registry import MEMORIES
from ...structures import Rows
from .base import Similarity, check_counts
from .entry import MemoryEntry, keep_channels
from .frame_bank import FrameBank, FrameBankState

Tokens = tuple[Tensor, ...]  # keys (R, N, Ck) and values (R, N, Cv), if the writer gives no other names


@MEMORIES.register_module(examples=[dict(), dict(gap=2)])
class LayeredBank(FrameBank):
    """Long-term frames, one whenever the last one is ``gap`` frames ago, and the last frame as short-term memory.

    Args:
        gap: between long-term frames; frames that start objects count as such (AOT-L: 5; AOT-T, S, B: none, 9999).
        prompts_to_long_term: see :class:`~.frame_bank.FrameBank`: False keeps the first frame and the gap's alone.
        max_tokens: budget per layer, the last frame included; the default holds 39 frames of 480x854.
        train_gap: as ``gap``, in training clips.
    """

    def __init__(self, gap: int = 9999, prompts_to_long_term: bool = True, max_tokens: int | None = 65_536,
                 train_gap: int = 9999):
        check_counts(self, optional=("gap", "train_gap"), gap=gap, train_gap=train_gap)  # named as they are given
        super().__init__(every=gap, since="kept", include_last=True, prompts_to_long_term=prompts_to_long_term,
                         max_tokens=max_tokens, train_every=train_gap)

    def new(self, training: bool = False, similarity: Similarity | None = None) -> "LayeredBankState":
        """Return an empty memory for one video, or for one batch of training clips."""
        return LayeredBankState(self, self.train_every if training else self.every)


class LayeredBankState(FrameBankState):
    """The memory of one video. Columns of its entries are those of the table of rows.

    Attributes:
        recent: newest entries first: ``latest``, and older ones while a row has not been written since (a gate may
            leave rows out).
        names: of what is kept of each layer.
        recent_only: those that an entry loses once it is not recent any more.
    """

    def __init__(self, policy: LayeredBank, gap: int):
        super().__init__(policy, gap)
        self.recent: list[MemoryEntry] = []
        self.names: tuple[str, ...] = ()
        self.recent_only: tuple[str, ...] = ()

    def write(self, frame: int, rows: Rows, layers: Sequence[Tokens], *, grid: tuple[int, int], prompted: bool,
              names: Sequence[str] = ("k", "v"), recent_only: Sequence[str] = ()) -> None:
        """Add tensors of every layer of a frame for ``rows``.

        Args:
            layers: for each, one tensor for each of ``names``; the method gives the same names for every frame.
            recent_only: names of those that only the last frame of a row is asked for.
        """
        self.names, self.recent_only = tuple(names), tuple(recent_only)
        tensors = {f"{name}{number}": rows.scatter(x.transpose(1, 2))
                   for number, tokens in enumerate(layers) for name, x in zip(names, tokens, strict=True)}
        self.add(MemoryEntry(frame, {}, tensors, valid=rows.table(), grid=grid, prompted=prompted))

    def add(self, entry: MemoryEntry) -> None:
        super().add(entry)
        self.recent.insert(0, entry)
        self._forget_old()

    def keep_objects(self, keep: Tensor) -> None:
        keep_channels([entry for entry in self.recent if entry is not self.latest and entry not in self.kept], keep)
        super().keep_objects(keep)
        self._forget_old()

    def _forget_old(self) -> None:
        """Drop recent entries of which every row has a newer one."""
        seen: set[tuple[int, int]] = set()
        recent = []
        for entry in self.recent:
            own = set(map(tuple, entry.valid.nonzero().tolist()))
            if own - seen:
                recent.append(entry)
            seen |= own
        for entry in (entry for entry in self.recent if entry not in recent):
            for name in [name for name in entry.object_tensors if name.rstrip("0123456789") in self.recent_only]:
                del entry.object_tensors[name]
        self.recent = recent

    def read(self, rows: Rows) -> Iterator[tuple[Tensor, list[list[Tokens]], list[Tokens]]]:
        """What ``rows`` read, those with the same frames in memory together.

        Yields:
            Numbers of the rows (int64, on their device); for every layer, what is kept of each long-term frame; for
            every layer, of the last frame. Names that only recent frames are asked for are missing in older ones.
        """
        together: dict[tuple, list[int]] = {}
        places = list(zip(rows.batch.tolist(), rows.slot.tolist(), strict=True))
        for number, place in enumerate(places):
            newest = next(entry for entry in self.recent if serves(entry, place))
            long_term = tuple(entry for entry in self.kept if serves(entry, place)) or (newest,)
            together.setdefault((long_term, newest), []).append(number)
        for (long_term, newest), members in together.items():
            own = [places[number] for number in members]
            layers = range(len(newest.object_tensors) // len(self.names))
            yield (torch.tensor(members, device=rows.batch.device),
                   [[self.tokens_of(entry, layer, own) for entry in long_term] for layer in layers],
                   [self.tokens_of(newest, layer, own) for layer in layers])

    def tokens_of(self, entry: MemoryEntry, layer: int, places: Sequence[tuple[int, int]]) -> Tokens:
        """Tensors (R, N, C) of rows; views, where the rows lie side by side."""
        numbers = [video * entry.objects + column for video, column in places]
        side_by_side = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        index = slice(numbers[0], numbers[-1] + 1) if side_by_side else torch.tensor(numbers)
        names = (f"{name}{layer}" for name in self.names)
        return tuple(entry[name].flatten(0, 1)[index].transpose(1, 2) for name in names if name in entry)


def serves(entry: MemoryEntry, place: tuple[int, int]) -> bool:
    """Whether an entry holds something of the row at (video, column)."""
    video, column = place
    return column < entry.objects and bool(entry.valid[video, column])
