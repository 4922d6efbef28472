"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching, AnisotropicL2Matching, BestAffinities, L2Matching, LocalityPrior
from .gated_propagation import GatedPropagation
from .long_short_term import LongShortTermTransformer
from .propagation import Propagation

__all__ = ["AffinityMatching", "AnisotropicL2Matching", "BestAffinities", "GatedPropagation", "L2Matching",
           "LocalityPrior", "LongShortTermTransformer", "Propagation"]
