"""Small blocks that several parts share."""

from .cbam import CBAM
from .drop_path import DropPath
from .first_frame import CutAndPaste, FixedSamples
from .frn import FilterResponseNorm
from .fusion import LastStage, TopDownFusion
from .gated_deformable_attention import GatedDeformableAttention
from .identity_bank import IdentityBank
from .offset_network import OffsetNetwork
from .position import SinePositions
from .residual import PreActBlock, ProjectedBlock
from .reuse import DeltaGenerator, RefineTranslator
from .sensory import MultiScaleUpdate, SensoryGRU
from .similarity import anisotropic_l2
from .spacetime_positions import LearnedPosition, NoPosition, SinusoidalPosition
from .window_attention import window_attention

__all__ = ["CBAM", "CutAndPaste", "DeltaGenerator", "DropPath", "FilterResponseNorm", "FixedSamples",
           "GatedDeformableAttention", "IdentityBank", "LastStage", "LearnedPosition", "MultiScaleUpdate",
           "NoPosition", "OffsetNetwork", "PreActBlock", "ProjectedBlock", "RefineTranslator", "SensoryGRU",
           "SinePositions", "SinusoidalPosition", "TopDownFusion", "anisotropic_l2", "window_attention"]
