"""Numerical parity with official implementations, from golden manifests."""

from .aot import AOTParity
from .compare import Row, compare
from .manifest import Manifest
from .stcn import STCNParity
from .xmem import XMemParity

__all__ = ["AOTParity", "Manifest", "Row", "STCNParity", "XMemParity", "compare"]
