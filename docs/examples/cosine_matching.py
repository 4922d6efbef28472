"""A plugin in one file: a matching head that compares keys by cosine similarity with a learnt temperature.

Use it without touching vosplug:

    python tools/train.py stcn_small --plugin docs/examples/cosine_matching.py \
        --cfg-options model.matching_head.type=CosineMatching
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vosplug.models.matching_heads import AffinityMatching
from vosplug.registry import MATCHING_HEADS


@MATCHING_HEADS.register_module()
class CosineMatching(AffinityMatching):
    """Softmax over ``scale`` times the cosine of two keys.

    Args:
        scale: initial inverse temperature.
        top_k, prior: see :class:`AffinityMatching`.
    """

    def __init__(self, scale: float = 16.0, top_k: int | None = None, prior: dict | None = None):
        super().__init__(top_k=top_k, prior=prior)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N)."""
        return self.log_scale.exp() * F.normalize(query, dim=1).transpose(1, 2) @ F.normalize(memory, dim=1)
