"""Encoders of frames (keys) and of masked frames (values)."""

from .build import build_encoders
from .key_encoder import SHALLOW, FrameFeatures, KeyEncoder
from .pixel_embedding import PixelEmbedding, PixelFeatures
from .projected_encoder import ProjectedEncoder
from .value_encoder import CBAMFuser, ResidualFuser, ValueEncoder

__all__ = ["CBAMFuser", "FrameFeatures", "KeyEncoder", "PixelEmbedding", "PixelFeatures", "ProjectedEncoder",
           "ResidualFuser", "SHALLOW", "ValueEncoder", "build_encoders"]
