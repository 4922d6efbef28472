"""Triple sparse convolution and its baselines."""

from .functions import residual_sparse_conv2d, static_sparse_conv2d, triple_sparse_conv2d
from .pack import has_winograd
from .prepared import PreparedConv2d, fold_batch_norm
from .reference import sparse_conv2d_reference
from .sites import COMPUTE, REUSE, ZERO, Sites

__all__ = [
    "COMPUTE",
    "REUSE",
    "ZERO",
    "PreparedConv2d",
    "Sites",
    "fold_batch_norm",
    "has_winograd",
    "residual_sparse_conv2d",
    "sparse_conv2d_reference",
    "static_sparse_conv2d",
    "triple_sparse_conv2d",
]
