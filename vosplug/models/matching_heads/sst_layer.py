"""One layer of SST's encoder."""

import torch
from torch import Tensor, nn

from ...registry import ATTENTIONS, LAYERS
from ..attentions.affinity_scores import SCORES


class SSTLayer(nn.Module):
    """Multi-head attention, add and norm, a position-wise network of one hidden layer, add and norm (SST, Fig. 2).

    Args:
        channels: C, of the input, the output and the hidden layer.
        attention: config (kind ``attention``).
        heads: that divide the channels.
        scaled, causal: see :class:`~.sst_encoder.SSTEncoder`.
        score: name of what object affinity is made of; None: there is none.
        norm, activation: configs (kind ``layer``); None: layer norm and ReLU.
    """

    def __init__(self, channels: int, attention: dict, heads: int, scaled: bool = False, causal: bool = False,
                 score: str | None = "dot", norm: dict | None = None, activation: dict | None = None):
        super().__init__()
        self.attention = ATTENTIONS.build(attention)
        self.attention.check_heads(heads)
        self.heads, self.causal = heads, causal
        self.scale = (channels // heads) ** -0.5 if scaled else 1.0
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.expand, self.reduce = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.norm1, self.norm2 = (nn.LayerNorm(channels) if norm is None else LAYERS.build(norm, channels=channels)
                                  for _ in range(2))
        self.activation = nn.ReLU() if activation is None else LAYERS.build(activation, channels=channels)
        self.score = None if score is None else SCORES[score]()

    def forward(self, x: Tensor, labels: Tensor | None, count: int,
                query_frames: int | None = None) -> tuple[Tensor, Tensor | None]:
        """All frames see each other.

        Args:
            x: (B, T, h, w, C), the current frame comes last.
            labels: (B, T, h, w) int64, the slot of each cell; None gives no affinity.
            count: number of slots.
            query_frames: the last so many frames are wanted; None for all.

        Returns:
            (B, query_frames, h, w, C), and the affinity (B, heads, S, h, w) of the current frame.
        """
        own = x[:, -(query_frames or x.shape[1]) :]
        k, v = channels_first(self.key(x)), channels_first(self.value(x))
        return self.attend(own, k, v, labels, count)

    def go_on(self, x: Tensor, before: list[Tensor | None], labels: Tensor | None,
              count: int) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """The current frame sees frames whose keys and values were kept, and itself.

        Args:
            x: (B, 1, h, w, C).
            before: keys and values (B, C, T - 1, h, w) of the others, or None twice.
            labels, count: see :meth:`forward`.

        Returns:
            As :meth:`forward`, and keys and values (B, C, 1, h, w) of the current frame.
        """
        own = [channels_first(projection(x)) for projection in (self.key, self.value)]
        k, v = (new if old is None else torch.cat([old.to(new), new], dim=2)
                for old, new in zip(before, own, strict=True))
        return *self.attend(x, k, v, labels, count), own

    def attend(self, x: Tensor, k: Tensor, v: Tensor, labels: Tensor | None,
               count: int) -> tuple[Tensor, Tensor | None]:
        """(B, n, h, w, C) of the last frames of k, v (B, C, T, h, w) -> the same, and affinity of the last one."""
        q = channels_first(self.query(x))
        scored = self.score is not None and labels is not None
        asked = dict(slots=labels, count=count, affinity_frames=1, clamp=self.score.clamp,
                     with_lse=self.score.with_lse) if scored else {}
        attended = self.attention(q, k, v, heads=self.heads, scale=self.scale, causal=self.causal,
                                  query_frames=q.shape[2], **asked)
        x = self.norm1(x + self.out(attended.out.permute(0, 2, 3, 4, 1)))
        x = self.norm2(x + self.reduce(self.activation(self.expand(x))))
        if not scored:
            return x, None
        return x, self.score(attended, self.attention, q[:, :, -1:], k, labels, count, heads=self.heads,
                             causal=self.causal)


def channels_first(x: Tensor) -> Tensor:
    """(B, T, h, w, C) -> (B, C, T, h, w), a view."""
    return x.permute(0, 4, 1, 2, 3)
