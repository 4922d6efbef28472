"""Heads that read a memory for the current frame."""

from .affinity import AffinityMatching, L2Matching, LocalityPrior

__all__ = ["AffinityMatching", "L2Matching", "LocalityPrior"]
