"""Backbones: feature pyramids of frames."""

from . import sparse_convs
from .base import Backbone
from .resnet import ResNet

__all__ = ["Backbone", "ResNet", "sparse_convs"]
