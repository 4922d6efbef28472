"""Identities: which object a pixel belongs to, as an embedding (AOT, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError
from .aggregate import full_precision
from .row_sums import sum_rows


@LAYERS.register_module(role="identities", examples=[dict(), dict(norm=True)])
class IdentityBank(nn.Module):
    """One-hot identities, the background's first, to one embedding per cell: a convolution of kernel s + 1, stride s.

    Args:
        max_objects: identities beside the background's; given by the segmentor.
        channels: of the embedding; given by the segmentor.
        stride: s, of the keys; even; given by the segmentor.
        norm: a LayerNorm over the channels follows, as in DeAOT.
    """

    def __init__(self, max_objects: int = 10, channels: int = 256, stride: int = 16, norm: bool = False):
        super().__init__()
        if stride % 2:
            raise ConfigError(f"IdentityBank.stride must be even, got {stride}")
        self.max_objects = max_objects
        self.conv = nn.Conv2d(max_objects + 1, channels, stride + 1, stride=stride, padding=stride // 2)
        nn.init.orthogonal_(self.conv.weight.flatten(1), gain=(stride + 1) ** -2)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()

    def forward(self, identities: Tensor) -> Tensor:
        """Planes (R, max_objects + 1, H, W), one-hot or soft, or labels (R, H, W) -> (R, channels, h, w)."""
        if identities.ndim == 3:
            x = self.sums(identities)
        else:
            x = self.conv(identities.to(self.conv.weight.dtype)).permute(0, 2, 3, 1)
        return self.norm(x).permute(0, 3, 1, 2)

    def sums(self, labels: Tensor) -> Tensor:
        """What the convolution gives for one-hot planes of labels (R, H, W), up to rounding: (R, h, w, channels).

        Every cell is the sum of (s + 1)^2 weights, one for each place of the kernel: its label's. That takes as long
        whatever the number of objects, and a tenth of the convolution's operations.
        """
        weight, (stride, _), (side, _) = full_precision(self.conv.weight), self.conv.stride, self.conv.kernel_size
        nobody = self.max_objects + 1  # beyond the map, whose weight is zero
        table = F.pad(weight.flatten(2), (0, 0, 0, 1)).permute(2, 1, 0)  # (places, identities, channels)
        windows = F.pad(labels.int(), [stride // 2] * 4, value=nobody).unfold(1, side, stride).unfold(2, side, stride)
        places = torch.arange(side**2, dtype=torch.int32, device=labels.device) * (nobody + 1)
        index = windows.flatten(3) + places
        x = sum_rows(table.flatten(0, 1), index.flatten(0, 2)) + self.conv.bias
        return x.to(self.conv.weight.dtype).unflatten(0, index.shape[:3])

    def one_hot(self, labels: Tensor) -> Tensor:
        """(R, H, W) identities 0 .. max_objects (others count as none) -> (R, max_objects + 1, H, W)."""
        numbers = torch.arange(self.max_objects + 1, device=labels.device)
        return (labels[:, None] == numbers[:, None, None]).to(self.conv.weight.dtype)
