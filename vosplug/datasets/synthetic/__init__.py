"""Synthetic videos: textured, deforming objects that occlude each other over moving backgrounds."""

from .classes import CLASS_NAMES, CLASSES, ObjectClass, category_id
from .clips import SyntheticClips
from .options import SyntheticOptions
from .video import SyntheticClip, SyntheticVideo, generate_clip, iter_video
from .vis_clips import SyntheticVISClips

__all__ = ["CLASSES", "CLASS_NAMES", "ObjectClass", "SyntheticClip", "SyntheticClips", "SyntheticOptions",
           "SyntheticVISClips", "SyntheticVideo", "category_id", "generate_clip", "iter_video"]
