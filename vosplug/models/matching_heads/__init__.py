"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching
from .base import MatchingHead
from .best_affinities import BestAffinities
from .l2 import AnisotropicL2Matching, L2Matching
from .locality_prior import LocalityPrior
from .template import TemplateMatching

__all__ = ["AffinityMatching", "AnisotropicL2Matching", "BestAffinities", "L2Matching", "LocalityPrior", "MatchingHead",
           "TemplateMatching"]
