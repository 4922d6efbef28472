"""The dense convolution under the same interface."""

from torch import nn

from ....registry import SPARSE_CONVS


@SPARSE_CONVS.register_module()
class DenseConv(nn.Conv2d):
    """``nn.Conv2d`` by a name of this kind: the non-sparse row of a comparison in which only ``conv`` changes."""
