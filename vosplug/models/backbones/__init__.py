"""Backbones: feature pyramids of frames."""

from . import sparse_convs
from .base import Backbone
from .efficientnet_lite import EfficientNetLite
from .mobilenet_v2 import MobileNetV2
from .resnet import ResNet

__all__ = ["Backbone", "EfficientNetLite", "MobileNetV2", "ResNet", "sparse_convs"]
