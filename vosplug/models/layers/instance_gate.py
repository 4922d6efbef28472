"""Instance-level attention of CFBI."""

import torch
from torch import Tensor, nn


class InstanceGate(nn.Module):
    """Scale the channels of each row by 1 + tanh(linear(v)), v a vector of the row (CFBI, section 3.3).

    Args:
        vector_channels: of v.
        channels: of the map.
    """

    def __init__(self, vector_channels: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(vector_channels, channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(R, C, h, w), (R, V) -> (R, C, h, w)."""
        return x * (1 + torch.tanh(self.linear(vector)))[:, :, None, None]
