"""Small blocks that several parts share."""

from .cbam import CBAM
from .first_frame import CutAndPaste, FixedSamples
from .fusion import LastStage, TopDownFusion
from .residual import PreActBlock, ProjectedBlock
from .reuse import DeltaGenerator, RefineTranslator
from .sensory import MultiScaleUpdate, SensoryGRU
from .similarity import anisotropic_l2

__all__ = ["CBAM", "CutAndPaste", "DeltaGenerator", "FixedSamples", "LastStage", "MultiScaleUpdate", "PreActBlock",
           "ProjectedBlock", "RefineTranslator", "SensoryGRU", "TopDownFusion", "anisotropic_l2"]
