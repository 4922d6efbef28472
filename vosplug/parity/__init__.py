"""Numerical parity with official implementations, from golden manifests."""

from .cfbi import CFBIParity
from .compare import Row, compare
from .manifest import Manifest
from .stcn import STCNParity
from .xmem import XMemParity

__all__ = ["CFBIParity", "Manifest", "Row", "STCNParity", "XMemParity", "compare"]
