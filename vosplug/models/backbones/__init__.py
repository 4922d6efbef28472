"""Backbones: feature pyramids of frames."""

from .resnet import ResNet

__all__ = ["ResNet"]
