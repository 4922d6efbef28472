"""One file per family of methods."""

from .base import VOSSegmentor
from .stcn import STCN
from .xmem import XMem

__all__ = ["STCN", "VOSSegmentor", "XMem"]
