"""AOT's long short-term transformer (Yang et al., 2021, section 3.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import MATCHING_HEADS
from ..frame_run import visible_run
from ..layers.attention import SelfAttention, attend, attention_weights, merge_heads, split_heads
from ..layers.drop_path import DropPath
from ..layers.position import SinePositions
from ..layers.propagation import ConvFeedForward, ShortTermAttention, to_map, to_tokens, xavier
from .propagation import Draft, LayerTokens, Propagation, layer_name


class LongShortTermBlock(nn.Module):
    """Self-attention, long- and short-term attention side by side, feed-forward; a norm before each.

    Args:
        channels, heads, hidden, radius, drop_path: see :class:`LongShortTermTransformer`.
        name: of what the block publishes: ``weights``, the mean of the heads, and ``output`` of long-term attention.
    """

    def __init__(self, channels: int, heads: int, hidden: int, radius: int, drop_path: float,
                 name: str = "propagation"):
        super().__init__()
        self.heads, self.name = heads, name
        self.self_norm = nn.LayerNorm(channels)
        self.self_attention = SelfAttention(channels, heads)
        self.match_norm = nn.LayerNorm(channels)
        self.query_key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.long_out = nn.Linear(channels, channels)
        self.short_out = nn.Linear(channels, channels)
        self.feed_norm = nn.LayerNorm(channels)
        self.feed_forward = ConvFeedForward(channels, hidden)
        self.drop_path = DropPath(drop_path)
        xavier(self)
        self.short_term = ShortTermAttention(channels, heads, radius, value_channels=channels)

    def forward(self, x: Tensor, position: Tensor, size: tuple[int, int], long_term: Sequence[LayerTokens] = (),
                short_term: LayerTokens | None = None, identity: Tensor | None = None) -> tuple[Tensor, LayerTokens]:
        """Tokens (R, L, C) -> (R, L, C) and the draft; with ``identity`` (R, L, C) the frame is its own memory."""
        x = x + self.drop_path(self.self_attention(self.self_norm(x), position))
        match = self.match_norm(x)
        query = self.query_key(match)
        draft = (query, match)
        if identity is not None:
            short_term = self.complete(draft, identity)
            long_term = [short_term]
        keys, values = zip(*((split_heads(k, self.heads), split_heads(v, self.heads)) for k, v in long_term),
                           strict=True)
        queries = split_heads(query, self.heads)
        read = merge_heads(attend(queries, keys, values))
        run = visible_run()
        if identity is None and run is not None:
            if run.asks(f"{self.name}.weights"):
                run.tap(f"{self.name}.weights", attention_weights(queries, keys).mean(dim=1), size)
            run.tap(f"{self.name}.output", read, size)
        long = self.long_out(read)
        short = self.short_out(self.short_term(query, *short_term, size))
        x = x + (long + short)
        x = x + self.drop_path(self.feed_forward(self.feed_norm(x), size))
        return x, draft if identity is None else short_term

    def complete(self, draft: LayerTokens, identity: Tensor) -> LayerTokens:
        """Keys carry no identity; values do."""
        key, match = draft
        return key, self.value(match + identity)


@MATCHING_HEADS.register_module(role="propagation", examples=[
    dict(layers=layers, heads=2, hidden=32, radius=1) for layers in (1, 2)])
class LongShortTermTransformer(Propagation):
    """Layers of :class:`LongShortTermBlock`; the outputs of all layers, normalised, go to the decoder.

    Args:
        key_channels: of frames' features and identities; given by the segmentor.
        layers: number of layers (AOT-T 1, S 2, B and L 3).
        heads: of all attentions.
        hidden: channels of the feed-forward part.
        radius: of the short-term window, in cells.
        drop_path: rate of stochastic depth, per clip.
    """

    def __init__(self, key_channels: int = 256, layers: int = 1, heads: int = 8, hidden: int = 1024, radius: int = 7,
                 drop_path: float = 0.1):
        super().__init__()
        self.out_channels = layers * key_channels
        self.positions = SinePositions(key_channels)
        self.blocks = nn.ModuleList(
            LongShortTermBlock(key_channels, heads, hidden, radius, drop_path, layer_name(number))
            for number in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(key_channels) for _ in range(layers))

    def run(self, x: Tensor, memories: Sequence[dict]) -> tuple[Tensor, list[Draft]]:
        size = tuple(x.shape[-2:])
        position = self.positions(size, x)
        tokens, outputs, kept = to_tokens(x), [], []
        for block, norm, memory in zip(self.blocks, self.norms, memories, strict=True):
            tokens, tensors = block(tokens, position, size, **memory)
            outputs.append(norm(tokens))
            kept.append(tensors)
        return to_map(torch.cat(outputs, dim=-1), size), kept
