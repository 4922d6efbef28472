"""Pictures for people."""

from .overlay import draw_overlay
from .tracks import draw_tracks

__all__ = ["draw_overlay", "draw_tracks"]
