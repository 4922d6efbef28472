"""Identities: which object a pixel belongs to, as an embedding (AOT, section 3.2)."""

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError


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
        """(R, max_objects + 1, H, W) one-hot or soft -> (R, channels, h, w)."""
        x = self.conv(identities.to(self.conv.weight.dtype))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def one_hot(self, labels: Tensor) -> Tensor:
        """(R, H, W) identities 0 .. max_objects (others count as none) -> (R, max_objects + 1, H, W)."""
        numbers = torch.arange(self.max_objects + 1, device=labels.device)
        return (labels[:, None] == numbers[:, None, None]).to(self.conv.weight.dtype)
