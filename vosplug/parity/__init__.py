"""Numerical parity with official implementations, from golden manifests."""

from .compare import Row, compare
from .manifest import Manifest
from .stcn import STCNParity

__all__ = ["Manifest", "Row", "STCNParity", "compare"]
