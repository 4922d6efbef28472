"""DeAOT (Yang and Yang: Decoupling Features in Hierarchical Propagation for VOS, NeurIPS 2022)."""

from ...registry import SEGMENTORS
from .identity_base import IdentitySegmentor, small_models


@SEGMENTORS.register_module(examples=lambda: small_models(
    dict(type="GatedPropagation", radius=2), dict(type="IdentityBank", norm=True), context=False))
class DeAOT(IdentitySegmentor):
    """AOT with two streams: visual features and identities are propagated by the same attention maps.

    Options are those of :class:`~.identity_base.IdentitySegmentor`; the matching head is a
    :class:`~..matching_heads.GatedPropagation`, identity embeddings are normalised, and the decoder sees the propagated
    features alone.
    """
