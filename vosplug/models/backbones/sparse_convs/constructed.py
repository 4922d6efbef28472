"""Policies that replace what gates say in evaluation: to measure what a density costs, and how errors add up."""

import zlib
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ....utils.errors import ConfigError
from .gates import COMPUTE, REUSE, SKIP

PAPER_SHARES = (0.101, 0.238)
ForcedPolicy = Callable[[str, tuple[int, int, int], torch.device], Tensor]  # of a layer, for its next frame


class ClusteredPolicy:
    """Given shares of the sites are computed and reused, in smooth clusters: the same for every frame and layer.

    Args:
        compute, reuse: shares, at least 0 and together at most 1; the rest is skipped.
    """

    def __init__(self, compute: float, reuse: float):
        if min(compute, reuse) < 0 or compute + reuse > 1:
            raise ConfigError(f"shares of sites that are computed and reused must be at least 0 and together at most "
                              f"1, got {compute} and {reuse}")
        self.compute, self.reuse = compute, reuse

    def __call__(self, name: str, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """Policy (N, H, W) uint8 of the layer ``name``."""
        return clustered_policy(shape, self.compute, self.reuse, device)


def policy_of_density(density: float) -> ClusteredPolicy:
    """The policy that computes ``density`` of the sites, and reuses and skips the others in the paper's proportion.

    Those are 23.8 to 66.1 (SpVOS, Fig. 5).
    """
    reuse = (1 - density) * PAPER_SHARES[1] / (1 - PAPER_SHARES[0])
    return ClusteredPolicy(density, min(reuse, 1 - density))


class RandomPolicy:
    """Each site is drawn on its own, anew for every layer and frame, from a seed.

    Args:
        compute, reuse: probabilities; the rest is skipped.
        seed: of the draws.
    """

    def __init__(self, compute: float, reuse: float, seed: int = 0):
        self.compute, self.reuse, self.seed = compute, reuse, seed
        self.generators: dict[str, torch.Generator] = {}

    def __call__(self, name: str, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """Policy (N, H, W) uint8 of the layer ``name`` for its next frame."""
        if name not in self.generators:
            self.generators[name] = torch.Generator().manual_seed(zlib.crc32(f"{self.seed} {name}".encode()))
        drawn = torch.rand(shape, generator=self.generators[name])
        policy = torch.full(shape, SKIP, dtype=torch.uint8)
        policy[drawn < self.compute + self.reuse] = REUSE
        policy[drawn < self.compute] = COMPUTE
        return policy.to(device)


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
    policy = torch.full((len(order),), SKIP, dtype=torch.uint8)
    first, second = round(compute * len(order)), round((compute + reuse) * len(order))
    policy[order[:first]], policy[order[first:second]] = COMPUTE, REUSE
    return policy.view(1, *shape[1:]).expand(shape).contiguous().to(device)
