"""All network parts. Importing this package registers them."""

from . import (
    attentions,
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
from .preprocessors import ReflectingPreprocessor, ResizingPreprocessor, VISPreprocessor, VOSPreprocessor

__all__ = ["ReflectingPreprocessor", "ResizingPreprocessor", "VISPreprocessor", "VOSPreprocessor", "attentions",
           "backbones", "decoders", "encoders", "gates", "layers", "losses", "matching_heads", "memories", "necks",
           "segmentors", "tasks", "tracklets"]
