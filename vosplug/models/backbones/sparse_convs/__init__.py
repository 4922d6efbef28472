"""Drop-ins for ``nn.Conv2d`` that compute a part of their sites (kind ``sparse convolution``)."""

from .base import SparseConv
from .constructed import PAPER_SHARES
from .context import FrameContext, Work, current, working_on
from .dense import DenseConv
from .folding import FoldingConv
from .residual import ResidualSparseConv
from .static import StaticSparseConv
from .triple import TripleSparseConv
from .weights import gate_names, load_dense_weights

__all__ = ["PAPER_SHARES", "DenseConv", "FoldingConv", "FrameContext", "ResidualSparseConv", "SparseConv",
           "StaticSparseConv", "TripleSparseConv", "Work", "current", "gate_names", "load_dense_weights", "working_on"]
