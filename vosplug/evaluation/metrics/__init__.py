"""Registered metrics: they take the predictions of one video after the other and give the numbers of the benchmark."""

from .davis import DavisMetric
from .video_metric import VideoMetric
from .youtube_vis import YouTubeVISMetric
from .youtube_vos import YouTubeVOSMetric

__all__ = ["DavisMetric", "VideoMetric", "YouTubeVISMetric", "YouTubeVOSMetric"]
