"""Decoders from read-outs to mask logits."""

from .collaborative_ensembler import CollaborativeEnsembler
from .fpn_decoder import FPNDecoder
from .mask_decoder import MaskDecoder
from .refiner import Refiner
from .ttvos_decoder import TTVOSDecoder

__all__ = ["CollaborativeEnsembler", "FPNDecoder", "MaskDecoder", "Refiner", "TTVOSDecoder"]
