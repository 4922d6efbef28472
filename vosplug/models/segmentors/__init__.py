"""One file per family of methods."""

from .aot import AOT
from .base import VOSSegmentor
from .cfbi import CFBI
from .deaot import DeAOT
from .efficientvis import EfficientVIS
from .frtm import FRTM
from .reuse_gated import ReuseGated
from .slot_base import SlotSegmentor
from .sst import SST
from .stcn import STCN
from .ttvos import TTVOS
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["AOT", "BaseVISSegmentor", "CFBI", "DeAOT", "EfficientVIS", "FRTM", "ReuseGated", "SST", "STCN", "TTVOS",
           "SlotSegmentor", "VOSSegmentor", "XMem"]
