"""What the propagation blocks of AOT and DeAOT are made of beside attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..frame_run import is_training
from .attention import attend, merge_heads, split_heads
from .window_attention import window_attention


def to_map(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens (R, L, C) -> map (R, C, h, w), channels innermost."""
    return x.unflatten(1, size).permute(0, 3, 1, 2)


def to_tokens(x: Tensor) -> Tensor:
    """Map (R, C, h, w) -> tokens (R, L, C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def depthwise(channels: int) -> nn.Conv2d:
    """5x5 convolution of each channel on its own, without bias."""
    return nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)


def xavier(module: nn.Module) -> None:
    """Xavier's uniform start values for every matrix and kernel of ``module``."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


class ShortTermAttention(nn.Module):
    """Attention to the window around each cell in the frame before, with logits by offset from the query.

    Keys and values may come from fewer points than cells (deformable attention): then the window is that of their
    reference points, and logits are interpolated at the displacement to these.

    Args:
        key_channels: of query and key, all heads.
        heads: of both.
        radius: of the window, in cells; None: all cells are seen alike, without a window and logits by offset.
        value_channels: with a number, learnt vectors by offset are read beside the values (AOT).
    """

    def __init__(self, key_channels: int, heads: int, radius: int | None, value_channels: int | None = None):
        super().__init__()
        self.heads, self.radius, self.offset_values = heads, radius, None
        if radius is None:
            return
        places = (2 * radius + 1) ** 2
        self.offset_logits = nn.Conv2d(key_channels, heads * places, 1, groups=heads)
        xavier(self.offset_logits)
        self.offset_values = None
        if value_channels is not None:
            self.offset_values = nn.Parameter(torch.zeros(heads, value_channels // heads, places))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, size: tuple[int, int],
                grid: tuple[int, int] | None = None) -> Tensor:
        """(R, L, Ck), (R, N, Ck), (R, N, Cv) -> (R, L, Cv).

        Args:
            query, key, value: of the cells of two frames.
            size: (h, w) of the queries.
            grid: (h_g, w_g) of the reference points of keys and values; None: of all cells.
        """
        if self.radius is None:
            return merge_heads(attend(split_heads(query, self.heads), [split_heads(key, self.heads)],
                                      [split_heads(value, self.heads)]))
        logits = to_tokens(self.offset_logits(to_map(query, size)))  # of the query as it is, not over sqrt(D)
        if grid is not None and grid != size:
            return self.look_at_points(query, key, value, logits, size, grid)
        grids = [split_heads(x, self.heads).unflatten(2, size) for x in (query, key, value, logits)]
        read = window_attention(*grids, self.offset_values)
        return read.permute(0, 2, 3, 1, 4).flatten(1, 2).flatten(2)

    def look_at_points(self, query: Tensor, key: Tensor, value: Tensor, logits: Tensor, size: tuple[int, int],
                       grid: tuple[int, int]) -> Tensor:
        """:meth:`forward` where keys are those of reference points; logits (R, L, heads*(2r+1)^2)."""
        from ...ops.deformable_attention.window import window_of_points  # loaded where it is needed

        if self.offset_values is not None:
            raise NotImplementedError("vectors by offset are not interpolated: deformable attention has none to read")
        query, key, value, logits = (split_heads(x, self.heads) for x in (query, key, value, logits))
        return merge_heads(window_of_points(query, key, value, size, grid, self.radius, logits))


def gated(read: Tensor, gate: Tensor) -> Tensor:
    """(R, L, C), (R, L, C'), C' <= C -> (R, L, C): times the gate, which is one for channels beyond C' (Eq. 7)."""
    count = gate.shape[-1]
    return read * gate if count == read.shape[-1] else torch.cat([read[..., :count] * gate, read[..., count:]], dim=-1)


class GatedOutput(nn.Module):
    """End of a gated propagation: times the gate, depthwise 5x5, channel dropout, linear (DeAOT, Eq. 7, 8).

    Args:
        in_channels, out_channels: before and after.
        dropout: of whole channels, in training.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float):
        super().__init__()
        self.conv = depthwise(in_channels)
        self.dropout = dropout
        self.proj = nn.Linear(in_channels, out_channels)

    def forward(self, read: Tensor, gate: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, L, C) -> (R, L, C'). The gate covers the first of the channels; it is one for others."""
        x = F.dropout2d(self.conv(to_map(gated(read, gate), size)), self.dropout, is_training(self))
        return self.proj(to_tokens(x))


class ConvFeedForward(nn.Module):
    """Linear, GroupNorm, GELU, depthwise 5x5, linear: the feed-forward part of AOT's block.

    Args:
        channels: of input and output.
        hidden: between; a multiple of 32.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.expand = nn.Linear(channels, hidden)
        self.norm = nn.GroupNorm(32, hidden)
        self.conv = depthwise(hidden)
        self.reduce = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(R, L, C) -> (R, L, C)."""
        x = F.gelu(self.norm(to_map(self.expand(x), size)))
        return self.reduce(to_tokens(self.conv(x)))
