"""AOT (Yang, Wei, Yang: Associating Objects with Transformers for Video Object Segmentation, NeurIPS 2021)."""

from ...registry import SEGMENTORS
from .identity_base import IdentitySegmentor, small_models


@SEGMENTORS.register_module(examples=lambda: small_models(
    dict(type="LongShortTermTransformer", heads=2, hidden=64, radius=2), dict(type="IdentityBank"), context=True))
class AOT(IdentitySegmentor):
    """Associating objects with transformers: identities are embedded in the values of one stream of features.

    Options are those of :class:`~.identity_base.IdentitySegmentor`; the matching head is a
    :class:`~..matching_heads.LongShortTermTransformer`, and the decoder sees the projected frame too.
    """
