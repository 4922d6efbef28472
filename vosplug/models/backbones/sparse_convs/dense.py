"""The dense convolution under the same interface."""

from importlib import import_module

from torch import Tensor

from ....registry import SPARSE_CONVS
from .folded import FoldedConv
from .folding import NO_NORM, FoldingConv


@SPARSE_CONVS.register_module()
class DenseConv(FoldingConv):
    """``nn.Conv2d`` by a name of this kind: the non-sparse row of a comparison in which only ``conv`` changes.

    Args:
        *args, **options: of ``nn.Conv2d``.
        packed: in the frame loop of a sparse model and in inference, run on the compiled kernels where these have a
            Winograd form of the layer (3x3, stride 1, enough channels); results agree to rounding. A lean one does
            not where that form has more than twice as many values as the input: little speed for much memory.
    """

    always_dense = True

    def __init__(self, *args, packed: bool = False, **options):
        super().__init__(*args, **options)
        self.packed = packed
        if packed:
            import_module("vosplug.ops")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        if self.packed and self.folding_context() is not None and (self.weight.is_meta or self.pays(x)):
            folded = self.folded(x, NO_NORM, False)
            if folded.has_winograd:
                return folded.everywhere(x.to(folded.dtype))
        return super().forward(x)

    def runs_packed(self, folded: FoldedConv) -> bool:
        """See the base class."""
        return folded.has_winograd

    def pays(self, x: Tensor) -> bool:
        """Whether the layer may hold transformed weights for inputs like ``x``."""
        return not self.lean or 16 * self.in_channels * self.out_channels <= 2 * x.numel()
