"""Triple sparse convolution and its baselines."""

from .functions import (
    residual_sparse_conv2d,
    static_sparse_conv2d,
    triple_sparse_conv2d,
    triple_sparse_conv2d_,
)
from .op import break_even
from .prepared import PreparedBottleneck, PreparedConv2d, fold_batch_norm
from .reference import sparse_conv2d_reference
from .sites import COMPUTE, REUSE, ZERO, Sites

__all__ = [
    "COMPUTE",
    "REUSE",
    "ZERO",
    "PreparedBottleneck",
    "PreparedConv2d",
    "Sites",
    "break_even",
    "fold_batch_norm",
    "residual_sparse_conv2d",
    "sparse_conv2d_reference",
    "static_sparse_conv2d",
    "triple_sparse_conv2d",
    "triple_sparse_conv2d_",
]
