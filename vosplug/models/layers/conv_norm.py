"""Convolution, norm and ReLU as one module."""

from torch import Tensor, nn

from .build import build_norm, conv_norm_relu


class ConvNorm(nn.Module):
    """A convolution of "same" size without bias, a norm and a ReLU.

    Args:
        in_channels, out_channels, kernel_size, dilation: of the convolution.
        norm: config of the norm, see :func:`~.build.build_norm`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: dict | None, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=dilation * (kernel_size // 2),
                              dilation=dilation, bias=False)
        self.norm = build_norm(norm, out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return conv_norm_relu(self.conv, self.norm, x)
