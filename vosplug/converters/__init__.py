"""Converters of published checkpoints, one per family."""

from .aot import AOTConverter, DeAOTConverter
from .base import Conversion, Converter
from .efficientvis import EfficientVISConverter
from .queryinst import MaskRCNNConverter, QueryInstConverter, SparseRCNNConverter
from .stcn import STCNConverter
from .xmem import XMemConverter

__all__ = ["AOTConverter", "Conversion", "Converter", "DeAOTConverter", "EfficientVISConverter", "MaskRCNNConverter",
           "QueryInstConverter", "STCNConverter", "SparseRCNNConverter", "XMemConverter"]
