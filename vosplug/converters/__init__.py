"""Converters of published checkpoints, one per family."""

from .aot import AOTConverter, DeAOTConverter
from .base import Conversion, Converter
from .cfbi import CFBIConverter
from .efficientvis import EfficientVISConverter
from .frtm import FRTMConverter
from .queryinst import MaskRCNNConverter, QueryInstConverter, SparseRCNNConverter
from .reuse_vos import ReuseVOSConverter
from .stcn import STCNConverter
from .ttvos import TTVOSConverter
from .xmem import XMemConverter

__all__ = ["AOTConverter", "CFBIConverter", "Conversion", "Converter", "DeAOTConverter", "EfficientVISConverter",
           "FRTMConverter", "MaskRCNNConverter", "QueryInstConverter", "ReuseVOSConverter", "STCNConverter",
           "SparseRCNNConverter", "TTVOSConverter", "XMemConverter"]
