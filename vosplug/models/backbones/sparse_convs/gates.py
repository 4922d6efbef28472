"""Gates: which sites of an output are computed, and how that is learnt."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SKIP, REUSE, COMPUTE = 0, 1, 2


class Gate(nn.Conv2d):
    """The convolution that scores policies: kernel, stride, padding and dilation of the convolution that it guards.

    Args:
        guarded: the convolution.
        in_channels: 2 C_in (previous and current input) or C_in.
        out_channels: 3 (skip, reuse, compute), or 1 (compute, or not).
        compute_bias: initial advantage of computing, in logits.
    """

    def __init__(self, guarded: nn.Conv2d, in_channels: int, out_channels: int, compute_bias: float = 0.0):
        super().__init__(in_channels, out_channels, guarded.kernel_size, stride=guarded.stride,
                         padding=guarded.padding, dilation=guarded.dilation)
        if compute_bias:
            with torch.no_grad():
                self.bias[-1] += compute_bias

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split a gate on [previous, current] (Eq. 7) by linearity, in one convolution.

        Returns:
            What ``x`` (N, C_in, H, W) adds to the logits of its own frame, with the bias, and what it will add to those
            of the next frame; both (N, 3, H_out, W_out). So three channels are kept instead of an input.
        """
        before, now = self.weight.chunk(2, dim=1)
        bias = torch.cat([self.bias, torch.zeros_like(self.bias)])
        both = F.conv2d(x, torch.cat([now, before]), bias, self.stride, self.padding, self.dilation)
        return both.chunk(2, dim=1)

    def echo(self, x: Tensor) -> Tensor:
        """The second half of :meth:`halves` alone, for frames that are processed densely."""
        before = self.weight[:, : self.in_channels // 2]
        return F.conv2d(x, before, None, self.stride, self.padding, self.dilation)

    def macs(self, sites: int, share: float = 1.0) -> int:
        """Multiply-accumulates for ``sites`` sites; ``share`` of the gate is evaluated."""
        return round(sites * self.weight.numel() * share)


def gumbel_softmax_policy(logits: Tensor, tau: float) -> Tensor:
    """Sample policies (Eq. 9): one-hot forward, the gradient of the soft sample backward (straight-through).

    Args:
        logits: (N, 3, H, W).
        tau: temperature.

    Returns:
        (N, 3, H, W) with exact zeros and ones.
    """
    noise = -torch.empty_like(logits).exponential_().clamp(min=1e-20).log()
    soft = ((logits.log_softmax(dim=1) + noise) / tau).softmax(dim=1)
    hard = torch.zeros_like(soft).scatter(1, soft.argmax(dim=1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


def gumbel_sigmoid(logits: Tensor, tau: float) -> Tensor:
    """The case of two policies, of which one has the logit 0: (N, 1, H, W) -> the same with exact zeros and ones."""
    uniform = torch.rand_like(logits).clamp(1e-7, 1 - 1e-7)
    soft = ((logits + uniform.logit()) / tau).sigmoid()
    return (soft >= 0.5).to(soft) + (soft - soft.detach())


def best_policy(logits: Tensor) -> Tensor:
    """Arg-max of (N, 3, H, W) as (N, H, W) uint8; of equal logits the later policy wins, so computing over all."""
    skip, reuse, compute = logits.unbind(dim=1)
    policy = (reuse >= skip).to(torch.uint8)
    return policy.masked_fill_(compute >= torch.maximum(skip, reuse), COMPUTE)
