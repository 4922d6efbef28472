"""Typed containers that check themselves."""

from .clip import ClipSample
from .video import Video, VideoDataset

__all__ = ["ClipSample", "Video", "VideoDataset"]
