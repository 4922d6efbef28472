"""Typed containers that check themselves."""

from .clip import ClipSample
from .object_ids import ObjectIds
from .state import Pairs, Prompt, StepOutput, VideoState
from .video import Video, VideoDataset

__all__ = ["ClipSample", "ObjectIds", "Pairs", "Prompt", "StepOutput", "Video", "VideoDataset", "VideoState"]
