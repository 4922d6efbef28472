"""Encoders of frames (keys) and of masked frames (values)."""

from .build import build_encoders
from .key_encoder import SHALLOW, FrameFeatures, KeyEncoder
from .value_encoder import CBAMFuser, ResidualFuser, ValueEncoder

__all__ = ["SHALLOW", "CBAMFuser", "FrameFeatures", "KeyEncoder", "ResidualFuser", "ValueEncoder", "build_encoders"]
