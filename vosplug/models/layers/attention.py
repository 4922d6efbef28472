"""Attention over tokens: reading a memory of several frames, and between the cells of one frame."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .aggregate import full_precision

MAX_SCORES = 1 << 22  # scores held at a time outside training


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(R, L, heads*D) -> (R, heads, L, D), without a copy."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(R, heads, L, D) -> (R, L, heads*D)."""
    return x.transpose(1, 2).flatten(2)


def scores_of(query: Tensor, key: Tensor) -> Tensor:
    """Similarities (..., L, N) of (..., L, D) and (..., N, D) over sqrt(D), in float32 at least."""
    with torch.autocast(query.device.type, enabled=False):
        query = full_precision(query) * query.shape[-1] ** -0.5
        return query @ full_precision(key).transpose(-1, -2)


def attention_weights(query: Tensor, keys: Sequence[Tensor]) -> Tensor:
    """What :func:`attend` weights the tokens of all frames by: (..., L, D), frames of (..., N_i, D) -> (..., L, N)."""
    return torch.cat([scores_of(query, key) for key in keys], dim=-1).softmax(dim=-1)


def attend(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V over the tokens of all frames together.

    With values as wide as keys, torch's fused attention does it, which holds no scores; keys and values of several
    frames are joined for one head at a time. Otherwise frames are never joined: float32 inference on the CPU runs in
    the compiled kernel, which makes no map of scores; else queries come, outside training, in chunks that bound the
    extra memory.

    Args:
        query: (R, heads, L, D).
        keys: one (R, heads, N_i, D) per frame.
        values: one (R, heads, N_i, Dv) per frame.

    Returns:
        (R, heads, L, Dv).
    """
    if query.shape[-1] == values[0].shape[-1]:
        return fused_attention(query, keys, values)
    rows, heads, length = query.shape[:3]
    if takes_kernel(query, *keys, *values):
        return split_heads(in_kernel(query, keys, values), heads)
    lengths = [key.shape[2] for key in keys]
    step = length if torch.is_grad_enabled() else max(1, MAX_SCORES // (rows * heads * sum(lengths)))
    parts = []
    for start in range(0, length, step):
        chunk = query[:, :, start : start + step]
        scores = [scores_of(chunk, key) for key in keys]
        weights = (scores[0] if len(scores) == 1 else torch.cat(scores, dim=-1)).softmax(dim=-1)
        read = 0
        for part, value in zip(weights.split(lengths, dim=-1), values, strict=True):
            read = read + part.to(value.dtype) @ value
        parts.append(read)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def fused_attention(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """As :func:`attend`, with Dv = D."""
    if len(keys) == 1:
        return F.scaled_dot_product_attention(query, keys[0], values[0])
    parts = []
    for head in range(query.shape[1]):
        own = slice(head, head + 1)
        key, value = (torch.cat([x[:, own] for x in frames], dim=2) for frames in (keys, values))
        parts.append(F.scaled_dot_product_attention(query[:, own], key, value))
    return torch.cat(parts, dim=1)


def takes_kernel(*tensors: Tensor) -> bool:
    """Whether the compiled attention takes these; the operators are loaded here, where attention is needed."""
    from ...ops.deformable_attention.dense import runs_compiled

    return runs_compiled(*tensors)


def in_kernel(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """:func:`attend` by the compiled kernel: (R, L, heads*Dv)."""
    from ...ops.deformable_attention.dense import dense_attention

    rows = (merge_heads(query), [merge_heads(key) for key in keys], [merge_heads(value) for value in values])
    return dense_attention(*rows, query.shape[1], query.shape[-1] ** -0.5)


class SelfAttention(nn.Module):
    """Multi-head attention between the cells of a frame (Vaswani et al., 2017); positions act on queries and keys only.

    Args:
        channels: of input and output.
        heads: divides ``channels``.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """(R, L, C), (L, C) -> (R, L, C)."""
        placed = x + position
        query, key, value = (split_heads(t, self.heads)
                             for t in (self.query(placed), self.key(placed), self.value(x)))
        return self.out(merge_heads(attend(query, [key], [value])))
