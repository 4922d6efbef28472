"""Small blocks that several parts share."""

from .cbam import CBAM
from .fusion import LastStage, TopDownFusion
from .residual import PreActBlock
from .sensory import MultiScaleUpdate, SensoryGRU
from .similarity import anisotropic_l2

__all__ = ["CBAM", "LastStage", "MultiScaleUpdate", "PreActBlock", "SensoryGRU", "TopDownFusion", "anisotropic_l2"]
