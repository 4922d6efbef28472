"""All network parts. Importing this package registers them."""

from . import backbones, decoders, encoders, layers, losses, matching_heads, memories, segmentors
from .preprocessor import VOSPreprocessor

__all__ = ["VOSPreprocessor", "backbones", "decoders", "encoders", "layers", "losses", "matching_heads", "memories",
           "segmentors"]
