"""Reading a frame memory by similarity of keys."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from ...registry import LAYERS, MATCHING_HEADS
from ...structures import Pairs
from ..layers.similarity import anisotropic_l2
from ..memories.frame_bank import FrameBankState, MemoryEntry


def weighted_bag_flops(table: torch.Size, tokens: torch.Size, *args, out_shape=None, **kwargs) -> int:
    """FLOPs of weighted sums of rows of ``table`` (N, C): one multiply-add for each token and channel."""
    return 2 * tokens[0] * table[1]


if torch.ops.aten._embedding_bag_forward_only not in flop_registry:  # torch counts none of it
    register_flop_formula(torch.ops.aten._embedding_bag_forward_only)(weighted_bag_flops)


@dataclass
class BestAffinities:
    """The affinities of the k most similar tokens of each query; those of all others are zero.

    What is read is then a sum of k rows per query, not a product with a matrix of all tokens. No gradients.

    Attributes:
        weights: (B, L, k), each query's sum is 1.
        places: (B, L, k) int64, numbers of the tokens.
    """

    weights: Tensor
    places: Tensor

    def read(self, entries: list[MemoryEntry], members: Tensor, pairs: Pairs) -> Tensor:
        """Sum the values of ``entries``, see :meth:`AffinityMatching.read`: (M, Cv, L)."""
        video, channel = (numbers[members].tolist() for numbers in (pairs.batch, pairs.channel))
        out: list[Tensor | None] = [None] * len(members)
        start = 0
        for entry in entries:
            values = entry.by_token()
            for b in set(video):
                near = (self.places[b] >= start) & (self.places[b] < start + entry.tokens)
                tokens, weights = self.places[b][near] - start, self.weights[b][near].to(values.dtype)
                ends = near.sum(dim=1).cumsum(0)
                bags = F.pad(ends[:-1], (1, 0))
                for number in (i for i, v in enumerate(video) if v == b):
                    table = values[b, :, channel[number]]
                    part = F.embedding_bag(tokens, table, bags, mode="sum", per_sample_weights=weights)
                    out[number] = part if out[number] is None else out[number].add_(part)
            start += entry.tokens
        return torch.stack(out).transpose(1, 2)

    def mass(self, tokens: int) -> Tensor:
        """(B, N) sums over the queries, of all N tokens."""
        total = self.weights.new_zeros(len(self.weights), tokens)
        return total.scatter_add_(1, self.places.flatten(1), self.weights.flatten(1))


class AffinityMatching(nn.Module):
    """Base of heads that read values by a softmax over similarities of keys.

    A new head overrides :meth:`similarity`; grouping of objects, top-k, locality, chunks and read-out are shared by
    training and inference.

    Args:
        top_k: only the k most similar tokens of each query take part in inference (STCN: 20, XMem: 30); None for all.
            In training all do (SpVOS Eq. 5), as most tokens would get no gradients.
        prior: config (kind ``layer``) of a bias by position, see :class:`LocalityPrior`.
        max_elements: queries are read in chunks of at most this many (query, token) pairs outside training, which
            bounds the extra memory of a read-out (4 bytes each, twice that without ``top_k``).
    """

    def __init__(self, top_k: int | None = None, prior: dict | None = None, max_elements: int = 1 << 23):
        super().__init__()
        self.top_k = top_k
        self.prior = None if prior is None else LAYERS.build(prior)
        self.max_elements = max_elements

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N) in float32 or float64."""
        raise NotImplementedError

    def weights(self, entries: list[MemoryEntry], selection: Tensor | None, span: slice) -> tuple[Tensor, ...]:
        """What :meth:`similarity` takes beside keys, for the queries numbered ``span``: nothing by default."""
        return ()

    def forward(self, query: Tensor, memory: FrameBankState, pairs: Pairs, frame: int,
                selection: Tensor | None = None) -> Tensor:
        """Read the memory.

        Args:
            query: (B, Ck, h, w) keys of the current frame.
            memory: of the video.
            pairs: the objects to read for.
            frame: index of the current frame.
            selection: (B, Ck, h, w) of the current frame, for heads that weigh key channels.

        Returns:
            (P, Cv, h, w); zeros for an object that has no memory.
        """
        entries = list(memory)
        grid = tuple(query.shape[-2:])
        value = entries[0].value
        out = value.new_zeros(len(pairs), value.shape[2], grid[0] * grid[1])
        for members, used in groups_of_objects(entries, pairs):
            parts = []
            for affinity in self.affinities(query, used, grid, frame, selection):
                parts.append(self.read(affinity, used, members, pairs))
                if memory.counts_usage:
                    count_usage(affinity, used, queries=grid[0] * grid[1])
            part = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            # Under autocast the product may have another type than the values.
            out = part if len(members) == len(pairs) else out.index_copy(0, members, part.to(out.dtype))
        return out.unflatten(-1, grid)

    def affinities(self, query: Tensor, entries: list[MemoryEntry], grid: tuple[int, int],
                   frame: int, selection: Tensor | None = None) -> Iterator[Tensor | BestAffinities]:
        """Yield (B, L', N) affinities over all tokens of ``entries``, for one chunk of queries after the other.

        With ``top_k`` they come as :class:`BestAffinities` in inference on a CPU, where that was measured.
        """
        keys = torch.cat([entry.key for entry in entries], dim=-1)
        queries = query.flatten(2)
        length = queries.shape[-1]
        step = length if torch.is_grad_enabled() else max(1, self.max_elements // max(1, keys.shape[-1]))
        bias = None if self.prior is None else self.prior(entries, grid, frame, query.device)
        for start in range(0, length, step):
            span = slice(start, min(start + step, length))
            with torch.autocast(query.device.type, enabled=False):
                scores = self.similarity(precise(queries[..., span]), precise(keys),
                                         *self.weights(entries, selection, span))
                if bias is not None:
                    scores = scores + (bias[0][span] @ bias[1]).to(scores)
                affinity = self.normalize(scores)
            yield affinity

    def normalize(self, scores: Tensor) -> Tensor | BestAffinities:
        """Softmax over tokens, (B, L, N); outside training over the top k if asked."""
        if self.training or self.top_k is None or self.top_k >= scores.shape[-1]:
            return scores.softmax(dim=-1)
        best, places = scores.topk(self.top_k, dim=-1)
        if scores.device.type == "cpu" and not torch.is_grad_enabled():
            return BestAffinities(best.softmax(dim=-1), places)
        return torch.zeros_like(scores).scatter(-1, places, best.softmax(dim=-1))

    @staticmethod
    def read(affinity: Tensor | BestAffinities, entries: list[MemoryEntry], members: Tensor, pairs: Pairs) -> Tensor:
        """Sum the values of ``entries``, weighted by (B, L', N), for the M pairs numbered ``members``: (M, Cv, L')."""
        if isinstance(affinity, BestAffinities):
            return affinity.read(entries, members, pairs)
        batch, channel = pairs.batch[members], pairs.channel[members]
        together = pairs.full and len(members) == len(pairs)
        objects = pairs.shape[1]
        total, start = 0, 0
        for entry in entries:
            weights = affinity[..., start : start + entry.tokens].to(entry.value.dtype).transpose(1, 2)
            start += entry.tokens
            if together:
                part = (entry.value[:, :objects].flatten(1, 2) @ weights).unflatten(1, (objects, -1)).flatten(0, 1)
            else:
                part = entry.value[batch, channel] @ weights[batch]
            total = total + part
        return total


@MATCHING_HEADS.register_module()
class L2Matching(AffinityMatching):
    """Negative squared L2 distance of keys over sqrt(Ck) (SpVOS Eq. 2-5, STCN): (2 k_m . k_q - |k_m|^2) / sqrt(Ck).

    The term |k_q|^2 is the same for all tokens of a query and cancels in the softmax.
    """

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N)."""
        norm = memory.square().sum(dim=1, keepdim=True)
        return torch.baddbmm(norm, query.transpose(1, 2), memory, beta=-1, alpha=2) / math.sqrt(memory.shape[1])


@MATCHING_HEADS.register_module()
class AnisotropicL2Matching(AffinityMatching):
    """XMem's anisotropic L2 similarity: see :func:`~vosplug.models.layers.similarity.anisotropic_l2`."""

    def weights(self, entries: list[MemoryEntry], selection: Tensor | None, span: slice) -> tuple[Tensor, ...]:
        """Selection (B, Ck, L') of the queries and shrinkage (B, 1, N) of the memory."""
        if selection is None or any(entry.shrinkage is None for entry in entries):
            return ()
        shrinkage = torch.cat([entry.shrinkage for entry in entries], dim=-1)
        return precise(selection.flatten(2)[..., span]), precise(shrinkage)

    def similarity(self, query: Tensor, memory: Tensor, selection: Tensor | None = None,
                   shrinkage: Tensor | None = None) -> Tensor:
        """(B, Ck, L), (B, Ck, N), (B, Ck, L), (B, 1, N) -> (B, L, N)."""
        return anisotropic_l2(query, memory, selection, shrinkage)


@LAYERS.register_module()
class LocalityPrior(nn.Module):
    """Learnt preference for nearby positions: minus lambda times the squared distance in cells.

    One lambda serves the previous frame, where objects have moved little, another all older frames. Tokens without
    a position (consolidated ones) get no bias.

    Args:
        previous, older: initial lambdas, positive.
    """

    def __init__(self, previous: float = 0.02, older: float = 0.002):
        super().__init__()
        self.log_previous = nn.Parameter(torch.tensor(math.log(previous)))
        self.log_older = nn.Parameter(torch.tensor(math.log(older)))

    def forward(self, entries: list[MemoryEntry], grid: tuple[int, int], frame: int,
                device: torch.device) -> tuple[Tensor, Tensor]:
        """Return factors (L, 4) and (4, N) whose product is the bias (L, N)."""
        y, x = (c.flatten() for c in torch.meshgrid(*(torch.arange(s, device=device, dtype=torch.float32)
                                                      for s in grid), indexing="ij"))
        square = y * y + x * x
        queries = torch.stack([2 * y, 2 * x, -torch.ones_like(y), -square], dim=1)
        places = torch.stack([y, x, square, torch.ones_like(y)])
        parts = []
        for entry in entries:
            weight = (self.log_previous if entry.frame == frame - 1 else self.log_older).exp()
            parts.append(weight * places if entry.grid == grid else places.new_zeros(4, entry.tokens))
        return queries, torch.cat(parts, dim=1)


def precise(x: Tensor) -> Tensor:
    """Half-precision keys as float32: differences of squares need the digits."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def groups_of_objects(entries: list[MemoryEntry], pairs: Pairs) -> Iterator[tuple[Tensor, list[MemoryEntry]]]:
    """Group pairs by the entries that hold values for them: objects that started together are read together.

    Yields:
        Numbers of the pairs (int64, on the device) and their entries, at least one.
    """
    batch, channel = pairs.batch.tolist(), pairs.channel.tolist()
    tables = [entry.valid.tolist() for entry in entries]
    groups: dict[tuple[bool, ...], list[int]] = {}
    for number, (b, o) in enumerate(zip(batch, channel, strict=True)):
        pattern = tuple(o < len(table[b]) and table[b][o] for table in tables)
        groups.setdefault(pattern, []).append(number)
    for pattern, members in groups.items():
        used = [entry for entry, has in zip(entries, pattern, strict=True) if has]
        if used:
            yield torch.tensor(members, device=pairs.batch.device), used


def count_usage(affinity: Tensor | BestAffinities, entries: list[MemoryEntry], queries: int) -> None:
    """Add the attention (B, L', N) that each entry, or each token where tokens are counted, received.

    ``queries`` is the number of queries of the whole read-out, of which these are L'.
    """
    if isinstance(affinity, BestAffinities):
        mass, (batch, length, _) = affinity.mass(sum(entry.tokens for entry in entries)), affinity.places.shape
    else:
        mass, (batch, length, _) = affinity.sum(dim=1).detach(), affinity.shape
    start = 0
    for entry in entries:
        received = mass[:, start : start + entry.tokens]
        if entry.use_count is not None:
            entry.use_count += received
            entry.life_count += length / queries
        else:
            entry.usage += float(received.sum())
            entry.reads += batch * length
        start += entry.tokens
