"""Converters of published checkpoints, one per family."""

from .base import Conversion, Converter
from .queryinst import MaskRCNNConverter, QueryInstConverter, SparseRCNNConverter
from .stcn import STCNConverter
from .xmem import XMemConverter

__all__ = ["Conversion", "Converter", "MaskRCNNConverter", "QueryInstConverter", "STCNConverter",
           "SparseRCNNConverter", "XMemConverter"]
