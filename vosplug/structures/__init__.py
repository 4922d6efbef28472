"""Typed containers that check themselves."""

from .clip import ClipSample
from .geometry import Geometry
from .object_ids import ObjectIds
from .state import Pairs, Prompt, StepOutput, VideoState
from .track_mask import TrackMask
from .video import Video, VideoDataset
from .vis_clip import VISClipSample
from .vis_video import VISTrack, VISVideo

__all__ = ["ClipSample", "Geometry", "ObjectIds", "Pairs", "Prompt", "StepOutput", "TrackMask", "VISClipSample",
           "VISTrack", "VISVideo", "Video", "VideoDataset", "VideoState"]
