"""Gated deformable attention."""

from .functions import deformable_attention, deformable_sample
from .grid import reference_points
from .reference import deformable_attention_reference

__all__ = ["deformable_attention", "deformable_attention_reference", "deformable_sample", "reference_points"]
