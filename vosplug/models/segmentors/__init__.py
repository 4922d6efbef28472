"""One file per family of methods."""

from .base import VOSSegmentor
from .efficientvis import EfficientVIS
from .stcn import STCN
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["STCN", "BaseVISSegmentor", "EfficientVIS", "VOSSegmentor", "XMem"]
