"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching
from .base import MatchingHead
from .best_affinities import BestAffinities
from .global_local import GlobalLocalMatching
from .l2 import AnisotropicL2Matching, L2Matching
from .locality_prior import LocalityPrior

__all__ = ["AffinityMatching", "AnisotropicL2Matching", "BestAffinities", "GlobalLocalMatching", "L2Matching",
           "LocalityPrior", "MatchingHead"]
