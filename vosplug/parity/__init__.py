"""Numerical parity with official implementations, from golden manifests."""

from .aot import AOTParity
from .cfbi import CFBIParity
from .compare import Row, compare
from .frtm import FRTMParity
from .manifest import Manifest
from .reuse_vos import ReuseVOSParity
from .stcn import STCNParity
from .xmem import XMemParity

__all__ = ["AOTParity", "CFBIParity", "FRTMParity", "Manifest", "ReuseVOSParity", "Row", "STCNParity", "XMemParity",
           "compare"]
