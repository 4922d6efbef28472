"""DeAOT (Yang and Yang: Decoupling Features in Hierarchical Propagation for VOS, NeurIPS 2022)."""

from ...registry import SEGMENTORS
from .identity_base import IdentitySegmentor, small_models

DEFORMABLE = dict(type="GatedDeformableAttention", groups=4, max_offset=2.0)


def examples() -> list[dict]:
    """As :func:`small_models`, and the second of them with deformable attention."""
    made = small_models(dict(type="GatedPropagation", radius=2), dict(type="IdentityBank", norm=True), context=False)
    return [*made, dict(made[1], matching_head=dict(made[1]["matching_head"], deformable=DEFORMABLE))]


@SEGMENTORS.register_module(examples=examples)
class DeAOT(IdentitySegmentor):
    """AOT with two streams: visual features and identities are propagated by the same attention maps.

    Options are those of :class:`~.identity_base.IdentitySegmentor`; the matching head is a
    :class:`~..matching_heads.GatedPropagation`, which may have deformable attention, identity embeddings are
    normalised, and the decoder sees the propagated features alone.
    """
