"""Small blocks that several parts share."""

from .cbam import CBAM
from .fusion import LastStage, TopDownFusion
from .residual import PreActBlock

__all__ = ["CBAM", "LastStage", "PreActBlock", "TopDownFusion"]
