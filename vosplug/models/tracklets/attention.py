"""Communication between tracklet queries (EfficientVIS, Eq. 1, Eq. 2, Table 1a). All take and give (B, T, N, C)."""

from torch import Tensor, nn

from ...registry import QUERY_ATTENTIONS


class PostNormAttention(nn.Module):
    """Multi-head self-attention over the middle axis of (S, L, C), added and normalised, as in Sparse R-CNN."""

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.attn = nn.MultiheadAttention(channels, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.attn(x, x, x, need_weights=False)[0])


class PreNormAttention(PostNormAttention):
    """The norm comes before the attention, so that a zero output projection, its start value, changes nothing.

    So a model that was trained on images is not disturbed by what it did not know: attention over time.
    """

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__(channels, heads, dropout)
        self.reset()

    def reset(self) -> None:
        """Make it neutral."""
        nn.init.zeros_(self.attn.out_proj.weight)
        nn.init.zeros_(self.attn.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attn(y, y, y, need_weights=False)[0]


def over_time(attention: nn.Module, queries: Tensor) -> Tensor:
    """Attend within each tracklet, across the frames (Eq. 1)."""
    batch, length, count, channels = queries.shape
    x = attention(queries.transpose(1, 2).reshape(batch * count, length, channels))
    return x.unflatten(0, (batch, count)).transpose(1, 2)


def over_space(attention: nn.Module, queries: Tensor) -> Tensor:
    """Attend within each frame, across the tracklets (Eq. 2)."""
    return attention(queries.flatten(0, 1)).unflatten(0, queries.shape[:2])


@QUERY_ATTENTIONS.register_module(examples=[dict(heads=2), dict(heads=1, dropout=0.1)])
class FactorisedAttention(nn.Module):
    """Factorised temporo-spatial self-attention: first across time, then across tracklets.

    Args:
        channels: C.
        heads: number of heads.
        dropout: of the attention weights.
    """

    def __init__(self, channels: int, heads: int = 8, dropout: float = 0.0):
        super().__init__()
        self.temporal = PreNormAttention(channels, heads, dropout)
        self.spatial = PostNormAttention(channels, heads, dropout)

    def reset(self) -> None:
        """Start values that are not random."""
        self.temporal.reset()

    def forward(self, queries: Tensor) -> Tensor:
        """(B, T, N, C) -> (B, T, N, C)."""
        return over_space(self.spatial, over_time(self.temporal, queries))


@QUERY_ATTENTIONS.register_module(examples=[dict(heads=2), dict(heads=1, dropout=0.1)])
class SpatialAttention(nn.Module):
    """Attention across the tracklets of each frame only (Table 1a, "S"); options as in FactorisedAttention."""

    def __init__(self, channels: int, heads: int = 8, dropout: float = 0.0):
        super().__init__()
        self.spatial = PostNormAttention(channels, heads, dropout)

    def forward(self, queries: Tensor) -> Tensor:
        """(B, T, N, C) -> (B, T, N, C)."""
        return over_space(self.spatial, queries)


@QUERY_ATTENTIONS.register_module(examples=[dict(heads=2), dict(heads=1, dropout=0.1)])
class TemporalAttention(nn.Module):
    """Attention across the frames of each tracklet only (Table 1a, "T"); options as in FactorisedAttention."""

    def __init__(self, channels: int, heads: int = 8, dropout: float = 0.0):
        super().__init__()
        self.temporal = PostNormAttention(channels, heads, dropout)

    def forward(self, queries: Tensor) -> Tensor:
        """(B, T, N, C) -> (B, T, N, C)."""
        return over_time(self.temporal, queries)


@QUERY_ATTENTIONS.register_module(examples=[dict(heads=2), dict(heads=1, dropout=0.1)])
class JointAttention(nn.Module):
    """Attention across all T x N embeddings at once (Table 1a, "Joint T-S"); options as in FactorisedAttention."""

    def __init__(self, channels: int, heads: int = 8, dropout: float = 0.0):
        super().__init__()
        self.joint = PostNormAttention(channels, heads, dropout)

    def forward(self, queries: Tensor) -> Tensor:
        """(B, T, N, C) -> (B, T, N, C)."""
        return self.joint(queries.flatten(1, 2)).unflatten(1, queries.shape[1:3])
