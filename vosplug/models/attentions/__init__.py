"""Attention over the cells of some frames: which cells see which others."""

from .base import Attended, SpacetimeAttention
from .kinds import DenseAttention, GridAttention, LocalAttention, StridedAttention
from .mixed_heads import MixedHeadsAttention

__all__ = ["Attended", "DenseAttention", "GridAttention", "LocalAttention", "MixedHeadsAttention", "SpacetimeAttention",
           "StridedAttention"]
