"""The dense convolution under the same interface."""

from importlib import import_module

from torch import Tensor

from ....registry import SPARSE_CONVS
from .folding import NO_NORM, FoldingConv


@SPARSE_CONVS.register_module()
class DenseConv(FoldingConv):
    """``nn.Conv2d`` by a name of this kind: the non-sparse row of a comparison in which only ``conv`` changes.

    Args:
        *args, **options: of ``nn.Conv2d``.
        packed: in the frame loop of a sparse model and in inference, run on the compiled kernels where these have a
            Winograd form of the layer (3x3, stride 1, enough channels); results agree to rounding.
    """

    always_dense = True

    def __init__(self, *args, packed: bool = False, **options):
        super().__init__(*args, **options)
        self.packed = packed
        if packed:
            import_module("vosplug.ops")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        if not self.packed or self.folding_context() is None:
            return super().forward(x)
        folded = self.folded(x, NO_NORM, False)
        return folded.everywhere(x.to(folded.dtype)) if folded.has_winograd else super().forward(x)
