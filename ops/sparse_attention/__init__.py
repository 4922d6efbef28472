"""Grid, local and strided spatiotemporal attention."""

from .functions import grid_attention, local_attention, strided_attention
from .reference import sparse_attention_reference

__all__ = ["grid_attention", "local_attention", "sparse_attention_reference", "strided_attention"]
