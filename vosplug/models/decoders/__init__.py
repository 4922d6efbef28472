"""Decoders from read-outs to mask logits."""

from .mask_decoder import MaskDecoder

__all__ = ["MaskDecoder"]
