"""Networks between a backbone and what reads its features."""

from .deeplab import DeepLabV3Plus
from .fpn import FPN

__all__ = ["FPN", "DeepLabV3Plus"]
