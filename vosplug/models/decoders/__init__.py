"""Decoders from read-outs to mask logits."""

from .fpn_decoder import FPNDecoder
from .mask_decoder import MaskDecoder

__all__ = ["FPNDecoder", "MaskDecoder"]
