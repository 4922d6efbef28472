"""Typed containers that check themselves."""

from .video import Video, VideoDataset

__all__ = ["Video", "VideoDataset"]
