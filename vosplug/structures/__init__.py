"""Typed containers that check themselves."""

from .clip import ClipSample
from .clip_record import ClipRecord, FrameRecord
from .geometry import Geometry
from .level import Level
from .notes import (
    Decision,
    MaskTransition,
    ReferencePrediction,
    RowLogits,
    ScoreChange,
    Tap,
    TemplateMask,
    Work,
    joined_taps,
)
from .object_ids import ObjectIds
from .row_store import RowStore
from .rows import Rows
from .state import Prompt, StepOutput, VideoState
from .track_mask import TrackMask
from .video import Video, VideoDataset
from .vis_clip import VISClipSample
from .vis_video import VISTrack, VISVideo

__all__ = ["ClipRecord", "ClipSample", "Decision", "FrameRecord", "Geometry", "Level", "MaskTransition", "ObjectIds",
           "Prompt", "ReferencePrediction", "RowLogits", "RowStore", "Rows", "ScoreChange", "StepOutput", "Tap",
           "TemplateMask", "TrackMask", "VISClipSample", "VISTrack", "VISVideo", "Video", "VideoDataset", "VideoState",
           "Work", "joined_taps"]
