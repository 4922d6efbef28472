"""The dense convolution under the same interface."""

from importlib import import_module

import torch
from torch import Tensor, nn

from ....registry import SPARSE_CONVS
from .context import current
from .folded import FoldedConv

NO_NORM = nn.Identity()


@SPARSE_CONVS.register_module()
class DenseConv(nn.Conv2d):
    """``nn.Conv2d`` by a name of this kind: the non-sparse row of a comparison in which only ``conv`` changes.

    Args:
        *args, **options: of ``nn.Conv2d``.
        packed: in the frame loop of a sparse model and in inference, run on the compiled kernels where these have a
            Winograd form of the layer (3x3, stride 1, enough channels); results agree to rounding.
    """

    def __init__(self, *args, packed: bool = False, **options):
        super().__init__(*args, **options)
        self.packed = packed
        if packed:
            import_module("vosplug.ops")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        context = current() if self.packed else None
        if context is None or not context.fold or self.training or torch.is_grad_enabled():
            return super().forward(x)
        stamp = FoldedConv.stamp(self, x, NO_NORM, False)
        if self._folded is None or self._folded.stamp_of_weights != stamp:
            self._folded = FoldedConv(self, x, NO_NORM, False, stamp, always_dense=True)
        if not self._folded.has_winograd:
            return super().forward(x)
        return self._folded.everywhere(x.to(self._folded.dtype))

    _folded: FoldedConv | None = None

    def train(self, mode: bool = True) -> "DenseConv":
        """Forget packed weights: they may change now without being noticed."""
        self._folded = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_folded": None}
