"""Parts of clip-level video instance segmentation by tracklet queries and proposals (EfficientVIS)."""

from .attention import FactorisedAttention, JointAttention, SpatialAttention, TemporalAttention
from .dynamic_conv import StillImageDynamicConv, TemporalDynamicConv
from .heads import TrackletHead, TrackletMaskHead
from .interaction import InteractionOutput, QueryVideoInteraction
from .linking import HandCraftedLinking, QueryLinking
from .queries import TrackletQueries
from .roi_align import PyramidRoIAlign

__all__ = ["FactorisedAttention", "HandCraftedLinking", "InteractionOutput", "JointAttention", "PyramidRoIAlign",
           "QueryLinking", "QueryVideoInteraction", "SpatialAttention", "StillImageDynamicConv", "TemporalAttention",
           "TemporalDynamicConv", "TrackletHead", "TrackletMaskHead", "TrackletQueries"]
