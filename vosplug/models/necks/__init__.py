"""Networks between a backbone and what reads its features."""

from .fpn import FPN

__all__ = ["FPN"]
