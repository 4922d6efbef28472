"""One file per family of methods."""

from .base import VOSSegmentor
from .stcn import STCN

__all__ = ["STCN", "VOSSegmentor"]
