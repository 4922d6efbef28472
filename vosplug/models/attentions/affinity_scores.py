"""What object affinity is made of: scores of the attention, or distances and angles that follow from them (SST)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.aggregate import full_precision
from .base import Attended, SpacetimeAttention


class AffinityScore(nn.Module):
    """The affinity of the current frame's cells and each slot, by the heads of one layer.

    Attributes:
        clamp, with_lse: what is asked of the attention.
        best: which of several values counts, over heads and over slots.
    """

    clamp = False
    with_lse = False
    best: Callable = staticmethod(torch.amax)

    def forward(self, attended: Attended, attention: SpacetimeAttention, q: Tensor, k: Tensor, slots: Tensor,
                count: int, **options) -> Tensor:
        """Affinity (B, heads, S, h, w).

        Args:
            attended: what the attention of the layer gave, with affinity of the last frame.
            attention: of the layer.
            q, k: (B, C, 1, h, w) of the current frame, (B, C, T, h, w) of all.
            slots, count: see :class:`~.base.SpacetimeAttention`.
            options: ``heads`` and ``causal`` of the layer.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it makes of scores")


class DotScore(AffinityScore):
    """The score itself, zero if there is none or all are negative (Eq. 4)."""

    clamp = True

    def forward(self, attended: Attended, *args, **options) -> Tensor:
        return attended.affinity[:, :, :, 0]


class SoftmaxScore(AffinityScore):
    """The weight that the attention gives it; zero if there is none."""

    with_lse = True

    def forward(self, attended: Attended, *args, **options) -> Tensor:
        return (attended.affinity[:, :, :, 0] - attended.lse[:, :, None, -1]).exp()


class AskedAnew(AffinityScore):
    """Base of scores for which the best cell is another one than that of the largest product."""

    def largest(self, attention: SpacetimeAttention, q: Tensor, k: Tensor, slots: Tensor, count: int, heads: int,
                causal: bool) -> Tensor:
        """Largest products (B, heads, S, h, w) of q (B, heads, D, 1, h, w) and k (B, heads, D, T, h, w); -inf: none."""
        q, k = (x.flatten(1, 2).contiguous(memory_format=torch.channels_last_3d) for x in (q, k))
        nothing = k.new_zeros(len(k), heads, *k.shape[2:])
        found = attention(q, k, nothing, heads=heads, causal=causal, query_frames=1, slots=slots, count=count,
                          clamp=False)
        return found.affinity[:, :, :, 0]


class CosineScore(AskedAnew):
    """Cosine of the angle between query and key, -1 if there is no key."""

    def forward(self, attended: Attended, attention: SpacetimeAttention, q: Tensor, k: Tensor, slots: Tensor,
                count: int, heads: int, causal: bool) -> Tensor:
        with torch.autocast(q.device.type, enabled=False):
            q, k = (F.normalize(full_precision(x).unflatten(1, (heads, -1)), dim=2) for x in (q, k))
            found = self.largest(attention, q, k, slots, count, heads, causal)
            return found.masked_fill(found.isneginf(), -1)


class DistanceScore(AskedAnew):
    """CFBI's 2 (sigmoid(d + b) - 1/2) of the least squared distance d of query and key, 1 if there is no key.

    b is learnt, one for the background and one for objects. As |q - k|^2 = |q|^2 - (2 q k - |k|^2), the nearest key has
    the largest product of two vectors that are one channel longer.
    """

    best = staticmethod(torch.amin)

    def __init__(self):
        super().__init__()
        self.background_bias = nn.Parameter(torch.zeros(1))
        self.object_bias = nn.Parameter(torch.zeros(1))

    def forward(self, attended: Attended, attention: SpacetimeAttention, q: Tensor, k: Tensor, slots: Tensor,
                count: int, heads: int, causal: bool) -> Tensor:
        with torch.autocast(q.device.type, enabled=False):
            q, k = (full_precision(x).unflatten(1, (heads, -1)) for x in (q, k))
            longer = torch.cat([2 * q, -torch.ones_like(q[:, :, :1])], dim=2)
            keys = torch.cat([k, k.square().sum(dim=2, keepdim=True)], dim=2)
            found = self.largest(attention, longer, keys, slots, count, heads, causal)
            none = found.isneginf()
            distance = q.square().sum(dim=2) - found.masked_fill(none, 0)
            bias = torch.cat([self.background_bias, self.object_bias.expand(count - 1)])[:, None, None]
            return torch.where(none, 1.0, 2 * torch.sigmoid(distance + bias) - 1)


SCORES = {"dot": DotScore, "softmax": SoftmaxScore, "distance": DistanceScore, "cosine": CosineScore}
