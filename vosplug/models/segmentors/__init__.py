"""One file per family of methods."""

from .base import VOSSegmentor
from .efficientvis import EfficientVIS
from .frtm import FRTM
from .reuse_gated import ReuseGated
from .stcn import STCN
from .vis_base import BaseVISSegmentor
from .xmem import XMem

__all__ = ["FRTM", "STCN", "BaseVISSegmentor", "EfficientVIS", "ReuseGated", "VOSSegmentor", "XMem"]
