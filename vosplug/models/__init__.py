"""All network parts. Importing this package registers them."""

from . import (
    backbones,
    decoders,
    encoders,
    gates,
    layers,
    losses,
    matching_heads,
    memories,
    necks,
    segmentors,
    tasks,
    tracklets,
)
from .preprocessor import VOSPreprocessor
from .vis_preprocessor import VISPreprocessor

__all__ = ["VISPreprocessor", "VOSPreprocessor", "backbones", "decoders", "encoders", "gates", "layers", "losses",
           "matching_heads", "memories", "necks", "segmentors", "tracklets"]
