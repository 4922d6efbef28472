"""Data sets of videos and of training clips; importing this package registers them."""

from . import synthetic
from .clip_batch_sampler import ClipBatchSampler
from .davis import DavisDataset
from .folder_videos import FolderVideos
from .merged_clips import MergedClips
from .mixed_clips import MixedClips
from .sampling import ClipRequest
from .static_image_clips import StaticImageClips
from .unlabelled_clips import UnlabelledClips
from .video_clips import VideoClips
from .vis_clips import VISClips
from .youtube_vis import YouTubeVISDataset
from .youtube_vos import YouTubeVOSDataset

__all__ = ["ClipBatchSampler", "ClipRequest", "DavisDataset", "FolderVideos", "MergedClips", "MixedClips",
           "StaticImageClips", "UnlabelledClips", "VISClips", "VideoClips", "YouTubeVISDataset", "YouTubeVOSDataset",
           "synthetic"]
