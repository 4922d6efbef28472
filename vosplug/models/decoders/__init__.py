"""Decoders from read-outs to mask logits."""

from .collaborative_ensembler import CollaborativeEnsembler
from .mask_decoder import MaskDecoder

__all__ = ["CollaborativeEnsembler", "MaskDecoder"]
