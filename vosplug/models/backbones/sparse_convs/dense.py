"""The dense convolution on the compiled kernels."""

from importlib import import_module

import torch
from torch import Tensor, nn

from ....registry import SPARSE_CONVS
from ...frame_run import current_run, is_training
from .executors import WeightCache

NO_NORM = nn.Identity()


@SPARSE_CONVS.register_module(examples=[dict()])
class DenseConv(nn.Conv2d):
    """``nn.Conv2d`` that runs on packed weights in inference within a frame loop; results agree to rounding.

    Only layers of which the kernels have a Winograd form do so (3x3, stride 1, enough channels).

    Args:
        *args, **options: of ``nn.Conv2d``.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        import_module("vosplug.ops")
        self._packed = WeightCache()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        learns = self.training or torch.is_grad_enabled() or is_training(self)
        if not learns and current_run() is not None:
            packed = self._packed.of(self, x, NO_NORM, relu=False, always_dense=True)
            if packed.has_winograd:
                return packed.everywhere(x.to(packed.dtype))
        return super().forward(x)

    def train(self, mode: bool = True) -> "DenseConv":
        """Forget packed weights: they may change now without being noticed."""
        self._packed.conv = None
        return super().train(mode)
