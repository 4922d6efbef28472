"""One file per family of methods."""

from .aot import AOT
from .base import VOSSegmentor
from .deaot import DeAOT
from .efficientvis import EfficientVIS
from .stcn import STCN
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["AOT", "STCN", "BaseVISSegmentor", "DeAOT", "EfficientVIS", "VOSSegmentor", "XMem"]
