"""Converters of published checkpoints, one per family."""

from .base import Conversion, Converter
from .stcn import STCNConverter
from .xmem import XMemConverter

__all__ = ["Conversion", "Converter", "STCNConverter", "XMemConverter"]
