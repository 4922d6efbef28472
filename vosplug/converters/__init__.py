"""Converters of published checkpoints, one per family."""

from .base import Conversion, Converter
from .cfbi import CFBIConverter
from .efficientvis import EfficientVISConverter
from .queryinst import MaskRCNNConverter, QueryInstConverter, SparseRCNNConverter
from .stcn import STCNConverter
from .xmem import XMemConverter

__all__ = ["CFBIConverter", "Conversion", "Converter", "EfficientVISConverter", "MaskRCNNConverter",
           "QueryInstConverter", "STCNConverter", "SparseRCNNConverter", "XMemConverter"]
