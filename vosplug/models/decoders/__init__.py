"""Decoders from read-outs to mask logits."""

from .fpn_decoder import FPNDecoder
from .mask_decoder import MaskDecoder
from .refiner import Refiner

__all__ = ["FPNDecoder", "MaskDecoder", "Refiner"]
