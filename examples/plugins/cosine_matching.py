"""A plugin in one file: a matching head that compares the directions of keys instead of their distance.

    python tools/train.py CONFIG --plugin examples/plugins/cosine_matching.py \
        --cfg-options model.matching_head="dict(_delete_=True, type='CosineMatching')"
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vosplug.models.matching_heads import AffinityMatching
from vosplug.registry import MATCHING_HEADS


@MATCHING_HEADS.register_module()
class CosineMatching(AffinityMatching):
    """Cosine of query and memory keys, times a learnt scale.

    Args:
        scale: initial factor before the softmax; large values look at few tokens.
        top_k, prior, max_elements: see :class:`AffinityMatching`.
    """

    def __init__(self, scale: float = 16.0, top_k: int | None = None, prior: dict | None = None,
                 max_elements: int = 1 << 25):
        super().__init__(top_k=top_k, prior=prior, max_elements=max_elements)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N)."""
        return self.log_scale.exp() * F.normalize(query, dim=1).transpose(1, 2) @ F.normalize(memory, dim=1)
