"""One file per family of methods."""

from .base import VOSSegmentor
from .sparse_processing import SparseProcessing
from .stcn import STCN
from .xmem import XMem

__all__ = ["STCN", "SparseProcessing", "VOSSegmentor", "XMem"]
