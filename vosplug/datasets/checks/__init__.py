"""Checks of whole data trees, by layout: each returns jobs, each job names every fault that it finds."""

from .base import Job, Result
from .davis import check_davis
from .folder import check_folder
from .static_images import check_static
from .youtube_vis import check_youtube_vis
from .youtube_vos import check_youtube_vos

CHECKS = {"davis": check_davis, "youtube_vos": check_youtube_vos, "youtube_vis": check_youtube_vis,
          "static": check_static, "folder": check_folder}

__all__ = ["CHECKS", "Job", "Result", "check_davis", "check_folder", "check_static", "check_youtube_vis",
           "check_youtube_vos"]
