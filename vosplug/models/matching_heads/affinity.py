"""Reading a frame memory by similarity of keys."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...registry import LAYERS
from ...structures import Rows
from ..frame_run import current_run, is_nobodys, is_training
from ..memories import MemoryEntry, MemoryState, joined
from .base import MatchingHead
from .best_affinities import BestAffinities

WEIGHTS, OUTPUT = "readout.weights", "readout.output"  # features: (B, L, N), and (B, L, O Cv) of the objects


class AffinityMatching(MatchingHead):
    """Base of heads that read values by a softmax over similarities of keys.

    A new head overrides :meth:`similarity`; grouping of objects, top-k, locality, chunks and read-out are shared by
    training and inference.

    Args:
        top_k: in inference only the k most similar tokens of each query take part (STCN: 20); None for all. In training
            all do, since most would be starved of gradients.
        prior: config (kind ``layer``) of a bias by position, see :class:`~.locality_prior.LocalityPrior`.

    Attributes:
        reads: tensors of the memory that :meth:`weights` and :meth:`similarity` compare with.
        max_elements: outside training queries are read in chunks of at most this many (query, token) pairs, which
            bounds the extra memory of a read-out (4 bytes each, twice that without ``top_k``).
    """

    reads: tuple[str, ...] = ("key",)
    max_elements: int = 1 << 23

    def __init__(self, top_k: int | None = None, prior: dict | None = None):
        super().__init__()
        self.top_k = top_k
        self.prior = None if prior is None else LAYERS.build(prior)

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N); keys come in float32 or float64, and no autocast is on."""
        raise NotImplementedError

    def weights(self, query: Mapping[str, Tensor], memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What :meth:`similarity` takes beside keys, by the name of its argument: nothing by default."""
        return {}

    def similarity_of(self, query: Mapping[str, Tensor], memory: Mapping[str, Tensor]) -> Tensor:
        """Compare tokens that ask with tokens that answer, in float32 at least.

        Args:
            query: name -> (B, C, L), ``key`` among them.
            memory: name -> (B, C, N), likewise.

        Returns:
            (B, L, N).
        """
        with torch.autocast(query["key"].device.type, enabled=False):
            weights = {name: precise(x) for name, x in self.weights(query, memory).items()}
            return self.similarity(precise(query["key"]), precise(memory["key"]), **weights)

    def forward(self, query: Tensor, memory: MemoryState, rows: Rows, frame: int, **beside: Tensor | None) -> Tensor:
        """See :meth:`~.base.MatchingHead.forward`."""
        entries = list(memory)
        grid = tuple(query.shape[-2:])
        queries = {"key": query, **{name: x for name, x in beside.items() if x is not None}}
        queries = {name: x.flatten(2) for name, x in queries.items()}
        value = entries[0]["value"]
        out = value.new_zeros(len(rows), value.shape[2], grid[0] * grid[1])
        run = current_run()
        for members, used in groups_of_objects(entries, rows):
            parts, weights = [], []
            for affinity, share in self.affinities(queries, used, grid, frame):
                parts.append(self.read(affinity, used, members, rows))
                if not is_nobodys():
                    memory.note_reading(used, lambda a=affinity, u=used: mass(a, u), share)
                if run is not None and run.asks(WEIGHTS):
                    weights.append(dense(affinity, sum(entry.tokens for entry in used)))
            if weights:
                run.tap(WEIGHTS, torch.cat(weights, dim=1), grid, of_frame=True)
            part = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            # Under autocast the product may have another type than the values.
            out = part if len(members) == len(rows) else out.index_copy(0, members, part.to(out.dtype))
        if run is not None:
            run.tap(OUTPUT, out.transpose(1, 2), grid)
        return out.unflatten(-1, grid)

    def affinities(self, query: Mapping[str, Tensor], entries: Sequence[MemoryEntry], grid: tuple[int, int],
                   frame: int) -> Iterator[tuple[Tensor | BestAffinities, float]]:
        """Yield affinities (B, L', N) over all tokens of ``entries``, chunk by chunk of the queries (B, C, L).

        With ``top_k`` they come as :class:`BestAffinities` in inference on a CPU, where that was measured. Beside them
        comes the share of the queries that the chunk has, L' / L.
        """
        memory = {"key": torch.cat([entry["key"] for entry in entries], dim=-1),
                  **joined(entries, [name for name in self.reads if name != "key"])}
        length, tokens = query["key"].shape[-1], memory["key"].shape[-1]
        step = length if is_training(self) else max(1, self.max_elements // max(1, tokens))
        bias = None if self.prior is None else self.prior(entries, grid, frame, query["key"].device)
        for start in range(0, length, step):
            span = slice(start, min(start + step, length))
            with torch.autocast(query["key"].device.type, enabled=False):
                scores = self.similarity_of({name: x[..., span] for name, x in query.items()}, memory)
                if bias is not None:
                    scores = scores + (bias[0][span] @ bias[1]).to(scores)
                affinity = self.normalize(scores)
            yield affinity, (span.stop - start) / length

    def normalize(self, scores: Tensor) -> Tensor | BestAffinities:
        """Softmax over tokens, (B, L, N), restricted to the top k in inference."""
        if is_training(self) or self.top_k is None or self.top_k >= scores.shape[-1]:
            return scores.softmax(dim=-1)
        best, places = scores.topk(self.top_k, dim=-1)
        if scores.device.type == "cpu" and not torch.is_grad_enabled():
            return BestAffinities(best.softmax(dim=-1), places)
        return torch.zeros_like(scores).scatter(-1, places, best.softmax(dim=-1))

    @staticmethod
    def read(affinity: Tensor | BestAffinities, entries: Sequence[MemoryEntry], members: Tensor,
             rows: Rows) -> Tensor:
        """Sum the values of ``entries``, weighted by (B, L', N), for the M rows numbered ``members``: (M, Cv, L')."""
        if isinstance(affinity, BestAffinities):
            return affinity.read(entries, members, rows)
        batch, slot = rows.batch[members], rows.slot[members]
        together = rows.full and len(members) == len(rows)
        objects = rows.shape[1]
        total, start = 0, 0
        for entry in entries:
            value = entry["value"]
            weights = affinity[..., start : start + entry.tokens].to(value.dtype).transpose(1, 2)
            start += entry.tokens
            if together:
                part = (value[:, :objects].flatten(1, 2) @ weights).unflatten(1, (objects, -1)).flatten(0, 1)
            else:
                part = value[batch, slot] @ weights[batch]
            total = total + part
        return total


def precise(x: Tensor) -> Tensor:
    """Half-precision keys as float32: differences of squares need the digits."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def groups_of_objects(entries: list[MemoryEntry], rows: Rows) -> Iterator[tuple[Tensor, list[MemoryEntry]]]:
    """Group rows by the entries that hold values for them: objects that started together are read together.

    Yields:
        Numbers of the rows (int64, on the device) and their entries, at least one.
    """
    batch, slot = rows.batch.tolist(), rows.slot.tolist()
    tables = [entry.valid.tolist() for entry in entries]
    groups: dict[tuple[bool, ...], list[int]] = {}
    for number, (b, o) in enumerate(zip(batch, slot, strict=True)):
        pattern = tuple(o < len(table[b]) and table[b][o] for table in tables)
        groups.setdefault(pattern, []).append(number)
    for pattern, members in groups.items():
        used = [entry for entry, has in zip(entries, pattern, strict=True) if has]
        if used:
            yield torch.tensor(members, device=rows.batch.device), used


def mass(affinity: Tensor | BestAffinities, entries: Sequence[MemoryEntry]) -> Tensor:
    """(B, N) attention that each token of ``entries`` received, side by side."""
    if isinstance(affinity, BestAffinities):
        return affinity.mass(sum(entry.tokens for entry in entries))
    return affinity.sum(dim=1).detach()


def dense(affinity: Tensor | BestAffinities, tokens: int) -> Tensor:
    """Affinities (B, L, N) to all N tokens, those that are not among the best zero."""
    if not isinstance(affinity, BestAffinities):
        return affinity
    shape = (*affinity.places.shape[:-1], tokens)
    return affinity.weights.new_zeros(shape).scatter(-1, affinity.places, affinity.weights)
