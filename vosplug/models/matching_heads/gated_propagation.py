"""DeAOT's gated propagation in two branches (Yang and Yang, 2022, section 4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MATCHING_HEADS
from ..layers.attention import attend
from ..layers.drop_path import DropPath
from ..layers.propagation import GatedOutput, ShortTermAttention, to_map, to_tokens, xavier
from .propagation import Draft, LayerTokens, Propagation


def attend_once(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Attention of one head: (R, L, Ck), frames of (R, N, Ck) and (R, N, Cv) -> (R, L, Cv)."""
    return attend(query[:, None], [k[:, None] for k in keys], [v[:, None] for v in values])[:, 0]


class GatedSelfAttention(nn.Module):
    """Gated attention between the cells of a frame, on both branches at once; queries are keys.

    Args:
        channels: of each branch.
        key_channels: of the keys.
        dropout: see :class:`~..layers.propagation.GatedOutput`.
    """

    def __init__(self, channels: int, key_channels: int, dropout: float):
        super().__init__()
        self.query_key = nn.Linear(2 * channels, key_channels)
        self.values = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.out = GatedOutput(4 * channels, 2 * channels, dropout)

    def forward(self, visual: Tensor, identity: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, L, C) twice -> (R, L, 2C)."""
        branches = (visual, identity)
        query = self.query_key(torch.cat(branches, dim=-1))
        value, gate = (F.silu(torch.cat([linear(x) for linear, x in zip(linears, branches, strict=True)], dim=-1))
                       for linears in (self.values, self.gates))
        return self.out(attend_once(query, [query], [value]), gate, size)


class GatedPropagationBlock(nn.Module):
    """Long- and short-term propagation of both branches with one attention map, then self-propagation.

    The first block has no identity branch to start from: its ID gate is one, its ID values come from the masks alone.

    Args:
        channels, radius, drop_path, dropout: see :class:`GatedPropagation`.
        first: whether this is the first block.
    """

    def __init__(self, channels: int, radius: int, drop_path: float, dropout: float, first: bool):
        super().__init__()
        self.channels, self.first = channels, first
        self.norm = nn.LayerNorm(channels)
        self.query_value = nn.Linear(channels, channels // 2 + 2 * channels)
        self.gate = nn.Linear(channels, 2 * channels)
        self.id_value = nn.Linear(channels if first else 2 * channels, 2 * channels)
        if not first:
            self.id_norm = nn.LayerNorm(channels)
            self.id_gate = nn.Linear(channels, 2 * channels)
        self.long_out = GatedOutput(4 * channels, 2 * channels, dropout)
        self.short_term = ShortTermAttention(channels // 2, 1, radius)
        self.short_out = GatedOutput(4 * channels, 2 * channels, dropout)
        self.self_norm = nn.LayerNorm(channels)
        self.self_id_norm = nn.LayerNorm(channels)
        self.self_attention = GatedSelfAttention(channels, channels // 2, dropout)
        self.drop_path = DropPath(drop_path)
        xavier(self)

    def forward(self, x: Tensor, id_x: Tensor | None, size: tuple[int, int], long_term: Sequence[LayerTokens] = (),
                short_term: LayerTokens | None = None,
                identity: Tensor | None = None) -> tuple[Tensor, Tensor, Draft]:
        """Propagate both branches.

        Args:
            x: (R, L, C) tokens of the visual branch.
            id_x: (R, L, C) of the identity branch; None in the first block.
            long_term, short_term: memory, see :class:`~.propagation.Propagation`.
            identity: (R, L, C); the frame is its own memory then.

        Returns:
            Both branches, and the draft, or with ``identity`` keys and values.
        """
        visual = self.norm(x)
        query, value = self.query_value(visual).split([self.channels // 2, 2 * self.channels], dim=-1)
        gate, value = self.gate(visual), F.silu(value)
        if self.first:
            gate, draft = F.silu(gate), (query, value)
        else:
            id_visual = self.id_norm(id_x)
            gate, draft = F.silu(torch.cat([gate, self.id_gate(id_visual)], dim=-1)), (query, value, id_visual)
        if identity is not None:
            short_term = self.complete(draft, identity)
            long_term = [short_term]
        keys, values = zip(*long_term, strict=True)
        long = self.long_out(attend_once(query, keys, values), gate, size)
        short = self.short_out(self.short_term(query, *short_term, size), gate, size)
        change, id_change = (long + short).chunk(2, dim=-1)
        x, id_x = x + change, id_change if id_x is None else id_x + id_change
        change = self.self_attention(self.self_norm(x), self.self_id_norm(id_x), size)
        change, id_change = change.chunk(2, dim=-1)
        x, id_x = x + self.drop_path(change), id_x + self.drop_path(id_change)
        return x, id_x, draft if identity is None else short_term

    def complete(self, draft: Draft, identity: Tensor) -> LayerTokens:
        """Keys as they are; visual values and ID values side by side, as they are read together."""
        key, value, *id_visual = draft
        id_value = F.silu(self.id_value(torch.cat([*id_visual, identity], dim=-1)))
        return key.contiguous(), torch.cat([value, id_value], dim=-1)  # a view would keep what it was cut from


@MATCHING_HEADS.register_module(role="propagation", examples=[
    dict(layers=layers, radius=1) for layers in (1, 2)])
class GatedPropagation(Propagation):
    """Layers of :class:`GatedPropagationBlock`; both branches of the last one, normalised, go to the decoder.

    Args:
        key_channels: of frames' features and identities; given by the segmentor.
        layers: number of layers (DeAOT-T 1, S 2, B and L 3).
        radius: of the short-term window, in cells.
        drop_path: rate of stochastic depth, per clip.
        dropout: rate at which whole channels are left out before the last linear map of each propagation.
    """

    def __init__(self, key_channels: int = 256, layers: int = 1, radius: int = 7, drop_path: float = 0.1,
                 dropout: float = 0.1):
        super().__init__()
        self.out_channels = 2 * key_channels
        self.blocks = nn.ModuleList(
            GatedPropagationBlock(key_channels, radius, drop_path, dropout, first=number == 0)
            for number in range(layers))
        self.norm = nn.GroupNorm(2, 2 * key_channels)

    def run(self, x: Tensor, memories: Sequence[dict]) -> tuple[Tensor, list[Draft]]:
        size = tuple(x.shape[-2:])
        tokens, id_tokens, kept = to_tokens(x), None, []
        for block, memory in zip(self.blocks, memories, strict=True):
            tokens, id_tokens, tensors = block(tokens, id_tokens, size, **memory)
            kept.append(tensors)
        return self.norm(to_map(torch.cat([tokens, id_tokens], dim=-1), size)), kept
