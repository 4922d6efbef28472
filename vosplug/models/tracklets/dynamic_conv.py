"""Convolutions whose filters a tracklet query makes (EfficientVIS, Eq. 3, Table 1b)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DYNAMIC_CONVS
from ...utils.errors import ConfigError


@DYNAMIC_CONVS.register_module(examples=[dict(hidden=4), dict(hidden=4, window=2), dict(hidden=4, window=0)])
class TemporalDynamicConv(nn.Module):
    """Collect a tracklet's features from the crops of this frame and its neighbours with one filter per frame.

    The filter of frame t, two 1x1 layers as in Sparse R-CNN, goes over the crops of t - window ... t + window. At every
    location the results are averaged with the softmax of their cosine similarity to the result of frame t itself.
    Neighbours outside the clip are left out of the softmax.

    Args:
        channels: C.
        hidden: channels between the two layers.
        window: neighbours on each side; 0 is the still-image dynamic convolution.
    """

    def __init__(self, channels: int, hidden: int = 64, window: int = 1):
        super().__init__()
        if window < 0:
            raise ConfigError(f"TemporalDynamicConv.window must be at least 0, got {window}")
        self.channels, self.hidden, self.window = channels, hidden, window
        self.dynamic_layer = nn.Linear(channels, 2 * channels * hidden)
        self.norm_in = nn.LayerNorm(hidden)
        self.norm_out = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, crops: Tensor) -> Tensor:
        """Tracklet features.

        Args:
            queries: (B, T, N, C).
            crops: (B, T, N, C, S, S).

        Returns:
            (B, T, N, S * S, C).
        """
        first, second = self.dynamic_layer(queries).chunk(2, dim=-1)
        filters = first.unflatten(-1, (self.channels, self.hidden)), second.unflatten(-1, (self.hidden, self.channels))
        pixels = crops.flatten(4).transpose(-1, -2)
        centre = self.convolve(pixels, *filters)
        length = queries.shape[1]
        window = min(self.window, length - 1)
        if window == 0:
            return centre
        results, scores = [], []
        frames = torch.arange(length, device=crops.device)
        for offset in range(-window, window + 1):
            other = frames + offset
            inside = (other >= 0) & (other < length)
            result = centre if offset == 0 else self.convolve(pixels[:, other.clamp(0, length - 1)], *filters)
            score = F.cosine_similarity(result.float(), centre.float(), dim=-1)
            scores.append(score.masked_fill(~inside[:, None, None], float("-inf")))
            results.append(result)
        weights = torch.stack(scores).softmax(dim=0).to(centre.dtype)  # a of Eq. 3
        return sum(w[..., None] * r for w, r in zip(weights, results, strict=True))

    def convolve(self, pixels: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """(B, T, N, L, C) through two 1x1 layers with filters of their own -> the same shape."""
        x = F.relu(self.norm_in(pixels @ first))
        return F.relu(self.norm_out(x @ second))


@DYNAMIC_CONVS.register_module(examples=[dict(hidden=4)])
class StillImageDynamicConv(TemporalDynamicConv):
    """Dynamic convolution of each frame by itself (Table 1b, "Still-image"): Sparse R-CNN's.

    Args:
        channels: C.
        hidden: channels between the two layers.
    """

    def __init__(self, channels: int, hidden: int = 64):
        super().__init__(channels, hidden=hidden, window=0)
