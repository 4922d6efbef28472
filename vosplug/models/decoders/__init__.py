"""Decoders from read-outs to mask logits."""

from .mask_decoder import MaskDecoder
from .refiner import Refiner

__all__ = ["MaskDecoder", "Refiner"]
