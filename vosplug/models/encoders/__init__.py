"""Encoders of frames (keys) and of masked frames (values)."""

from .build import build_encoders
from .key_encoder import SHALLOW, FrameFeatures, KeyEncoder
from .projected_encoder import ProjectedEncoder
from .value_encoder import CBAMFuser, ResidualFuser, ValueEncoder

__all__ = ["CBAMFuser", "FrameFeatures", "KeyEncoder", "ProjectedEncoder", "ResidualFuser", "SHALLOW", "ValueEncoder",
           "build_encoders"]
