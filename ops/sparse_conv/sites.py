"""Active sites of a policy, found once and reused by every layer that shares it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..library import has_extension

ZERO, REUSE, COMPUTE = 0, 1, 2


@dataclass(frozen=True)
class Sites:
    """A policy and the lists that the kernels want from it.

    Attributes:
        policy: (B, H, W) uint8, contiguous: 0 zero, 1 reuse, 2 compute.
        index: (M,) rising positions ``b*H*W + y*W + x`` of the sites to compute (int32 with the extension, else int64).
    """

    policy: Tensor
    index: Tensor

    @classmethod
    def from_policy(cls, policy: Tensor) -> "Sites":
        """Find the active sites of ``policy`` (B, H, W) uint8.

        Raises:
            ValueError: wrong dtype or number of dimensions.
            RuntimeError: on the CPU, a value above 2.
        """
        policy = check_policy(policy)
        if policy.device.type == "cpu" and has_extension():
            return cls(policy, torch.ops.vosplug_cpu.active_sites(policy))
        check_values(policy)
        return cls(policy, (policy.reshape(-1) == COMPUTE).nonzero().squeeze(1))

    @cached_property
    def tiles(self) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """2x2 tiles with an active site (int32), and which of their four sites are active (uint8, a bit each).

        Found when a 3x3 layer first asks; (None, None) without the extension.
        """
        if self.policy.device.type != "cpu" or not has_extension():
            return None, None
        return torch.ops.vosplug_cpu.active_tiles(self.policy)

    def lists(self, with_tiles: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the operators take: index, tiles and their bits, the latter two None where they are not wanted."""
        return (self.index, *(self.tiles if with_tiles else (None, None)))

    @cached_property
    def count(self) -> int:
        """Number of sites to compute, M."""
        return self.index.numel()


def check_policy(policy: Tensor) -> Tensor:
    """Return ``policy`` contiguous, or raise ValueError."""
    if not isinstance(policy, Tensor) or policy.dtype != torch.uint8 or policy.dim() != 3:
        got = f"{policy.dtype} of shape {tuple(policy.shape)}" if isinstance(policy, Tensor) else type(policy).__name__
        raise ValueError(f"policy: expected a uint8 tensor of shape (B, H_out, W_out), got {got}")
    return policy.contiguous()


def check_values(policy: Tensor) -> None:
    """Raise RuntimeError for a value above 2. Only on the CPU: elsewhere looking would stop the device."""
    if policy.device.type == "cpu" and policy.numel() and int(policy.max()) > COMPUTE:
        raise RuntimeError(
            f"policy: expected values 0 (zero), 1 (reuse) and 2 (compute), got the value {int(policy.max())}"
        )
