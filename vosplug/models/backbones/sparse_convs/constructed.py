"""Policies with given shares, to measure what a density costs before a gate has learnt it."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

PAPER_SHARES = (0.101, 0.238)


@lru_cache(maxsize=64)
def clustered_policy(shape: tuple[int, int, int], compute: float, reuse: float, device: torch.device) -> Tensor:
    """A policy (N, H, W) uint8 in which given shares of the sites are computed and reused, in smooth clusters.

    The sites are ranked by a smooth random field, the same for every size, so that layers of different strides agree:
    the highest are computed, those next to them reused, the others skipped.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 6, 10, generator=generator)
    field = F.interpolate(coarse, size=shape[1:], mode="bicubic", align_corners=False).flatten()
    order = field.argsort(descending=True)
    policy = torch.zeros(len(order), dtype=torch.uint8)
    first, second = round(compute * len(order)), round((compute + reuse) * len(order))
    policy[order[:first]], policy[order[first:second]] = 2, 1
    return policy.view(1, *shape[1:]).expand(shape).contiguous().to(device)
