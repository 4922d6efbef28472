"""Drop-ins for ``nn.Conv2d`` that compute a part of their sites (kind ``sparse convolution``), put in by surgery."""

from .base import SparseConv
from .constructed import PAPER_SHARES
from .dense import DenseConv
from .policies import Fully, Mixed, SemiMixed
from .residual import ResidualSparseConv
from .static import StaticSparseConv
from .surgery import SparsePart, sparsify
from .triple import TripleSparseConv
from .weights import gate_names, load_dense_weights

__all__ = ["PAPER_SHARES", "DenseConv", "Fully", "Mixed", "ResidualSparseConv", "SemiMixed", "SparseConv", "SparsePart",
           "StaticSparseConv", "TripleSparseConv", "gate_names", "load_dense_weights", "sparsify"]
