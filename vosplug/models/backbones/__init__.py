"""Backbones: feature pyramids of frames."""

from . import sparse_convs
from .resnet import ResNet

__all__ = ["ResNet", "sparse_convs"]
