"""One file per family of methods."""

from .aot import AOT
from .base import VOSSegmentor
from .deaot import DeAOT
from .efficientvis import EfficientVIS
from .frtm import FRTM
from .reuse_gated import ReuseGated
from .stcn import STCN
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["AOT", "BaseVISSegmentor", "DeAOT", "EfficientVIS", "FRTM", "ReuseGated", "STCN", "VOSSegmentor", "XMem"]
