"""Updates of XMem's sensory memory."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS


@LAYERS.register_module(role="update", examples=[dict()])
class SensoryGRU(nn.Module):
    """Gated update of a hidden state: h' = f h (1 - u) + u tanh(n), from one 3x3 convolution of [input, h].

    XMem (Cheng and Schwing, ECCV 2022, section 3.3). As in its public weights, and unlike in a standard GRU, the new
    value n does not depend on the forget gate f. The channels of the convolution are f, u, n.

    Args:
        in_channels: of the input.
        hidden_channels: of the state.
    """

    def __init__(self, in_channels: int, hidden_channels: int):
        super().__init__()
        self.transform = nn.Conv2d(in_channels + hidden_channels, 3 * hidden_channels, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """(P, C, h, w), (P, Ch, h, w) -> (P, Ch, h, w)."""
        forget, update, new = self.transform(torch.cat([x, hidden], dim=1)).chunk(3, dim=1)
        update = update.sigmoid()
        return forget.sigmoid() * hidden * (1 - update) + update * new.tanh()


@LAYERS.register_module(role="update of scales", examples=[dict(mid_channels=8)])
class MultiScaleUpdate(nn.Module):
    """XMem's update after decoding: features of all strides and the logits, brought to the coarsest one, and a GRU.

    Args:
        in_channels: of the decoder's features, coarsest first; the logits join the last one.
        hidden_channels: of the state.
        mid_channels: of the sum that enters the GRU.
    """

    def __init__(self, in_channels: Sequence[int], hidden_channels: int, mid_channels: int = 256):
        super().__init__()
        channels = [*in_channels[:-1], in_channels[-1] + 1]
        self.projections = nn.ModuleList(nn.Conv2d(c, mid_channels, 1) for c in channels)
        self.gru = SensoryGRU(mid_channels, hidden_channels)

    def forward(self, scales: Sequence[Tensor], hidden: Tensor) -> Tensor:
        """Features (P, C_i, h_i, w_i), coarsest first, then logits (P, 1, h_n, w_n); (P, Ch, h, w) -> (P, Ch, h, w)."""
        *coarse, finest, logits = scales
        features = [*coarse, torch.cat([finest, logits], dim=1)]
        x = sum(projection(F.interpolate(feature, size=hidden.shape[-2:], mode="area"))
                for projection, feature in zip(self.projections, features, strict=True))
        return self.gru(x, hidden)
