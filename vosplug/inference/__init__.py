"""From frames to masks: readers, sessions, writers."""

from .given_masks import GivenMasks
from .inferencer import VOSInferencer
from .memory_log import MemoryLog
from .model_loading import build_segmentor
from .opening import open_reader, open_writer
from .prefetch import PrefetchReader
from .readers import DatasetVideoReader, FolderReader, Frame, FrameReader, IterableReader
from .session import Prediction, VOSSession, new_session
from .track_writers import TrackJsonWriter, TrackMaskFolderWriter, TrackVideoWriter, TrackWriter, open_track_writer
from .video_reader import CameraReader, VideoReader
from .video_writer import OverlayVideoWriter
from .vis_inferencer import VISInferencer, VISSummary
from .vis_session import VISSession
from .writers import FrameWriter, MaskFolderWriter, OverlayFolderWriter, RleJsonWriter

__all__ = ["CameraReader", "DatasetVideoReader", "FolderReader", "Frame", "FrameReader", "FrameWriter", "GivenMasks",
           "IterableReader", "MaskFolderWriter", "MemoryLog", "OverlayFolderWriter", "OverlayVideoWriter", "Prediction",
           "PrefetchReader", "RleJsonWriter", "TrackJsonWriter", "TrackMaskFolderWriter", "TrackVideoWriter",
           "TrackWriter", "VISInferencer", "VISSession", "VISSummary", "VOSInferencer", "VOSSession", "VideoReader",
           "build_segmentor", "new_session", "open_reader", "open_track_writer", "open_writer"]
