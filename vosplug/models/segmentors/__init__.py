"""One file per family of methods."""

from .base import VOSSegmentor
from .cfbi import CFBI
from .efficientvis import EfficientVIS
from .slot_base import SlotSegmentor
from .stcn import STCN
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["CFBI", "STCN", "BaseVISSegmentor", "EfficientVIS", "SlotSegmentor", "VOSSegmentor", "XMem"]
