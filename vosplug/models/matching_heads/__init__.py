"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching, AnisotropicL2Matching, BestAffinities, L2Matching, LocalityPrior
from .template import TemplateMatching

__all__ = ["AffinityMatching", "AnisotropicL2Matching", "BestAffinities", "L2Matching", "LocalityPrior",
           "TemplateMatching"]
