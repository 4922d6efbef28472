"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching
from .base import MatchingHead
from .best_affinities import BestAffinities
from .deformable_matching import DeformableMatching
from .gated_propagation import GatedPropagation
from .global_local import GlobalLocalMatching
from .l2 import AnisotropicL2Matching, L2Matching
from .locality_prior import LocalityPrior
from .long_short_term import LongShortTermTransformer
from .propagation import Propagation
from .routed import RoutedMatching
from .sst_encoder import SSTEncoder
from .template import TemplateMatching
from .template_attention import TemplateAttention

__all__ = ["AffinityMatching", "AnisotropicL2Matching", "BestAffinities", "DeformableMatching", "GatedPropagation",
           "GlobalLocalMatching", "L2Matching", "LocalityPrior", "LongShortTermTransformer", "MatchingHead",
           "Propagation", "RoutedMatching", "SSTEncoder", "TemplateAttention", "TemplateMatching"]
