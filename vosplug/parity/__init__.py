"""Numerical parity with official implementations, from golden manifests."""

from .compare import Row, compare
from .frtm import FRTMParity
from .manifest import Manifest
from .stcn import STCNParity
from .xmem import XMemParity

__all__ = ["FRTMParity", "Manifest", "Row", "STCNParity", "XMemParity", "compare"]
