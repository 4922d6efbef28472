"""Gates: which sites of an output are computed, and how that is learnt."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SKIP, REUSE, COMPUTE = 0, 1, 2


@dataclass
class Choice:
    """What a gate chose for the sites of an output.

    Attributes:
        policy: (N, H, W) uint8, 0 skip, 1 reuse, 2 compute.
        drawn: in training, (N, K, H, W) with exact zeros and ones, and gradients to the gate: whether a site skips,
            reuses or computes (K = 3), or whether it computes (K = 1). None where nothing is learnt.
    """

    policy: Tensor
    drawn: Tensor | None = None

    def of(self, kind: int, like: Tensor) -> Tensor:
        """(N, 1, H, W): 1 where a site reuses or computes, in the type of ``like``."""
        if self.drawn is None:
            return (self.policy == kind)[:, None].to(like.dtype)
        return (self.drawn[:, kind, None] if self.drawn.shape[1] == 3 else self.drawn).to(like.dtype)

    def chosen(self) -> Tensor:
        """(N, H, W), 1 at sites that are computed; only in training."""
        return self.drawn[:, COMPUTE if self.drawn.shape[1] == 3 else 0]


class Gate(nn.Conv2d):
    """The convolution that scores policies: kernel, stride, padding and dilation of the convolution that it guards.

    Args:
        guarded: the convolution.
        inputs: how many inputs of the convolution it sees side by side.
    """

    outputs = 1

    def __init__(self, guarded: nn.Conv2d, inputs: int = 1):
        super().__init__(guarded.in_channels * inputs, self.outputs, guarded.kernel_size, stride=guarded.stride,
                         padding=guarded.padding, dilation=guarded.dilation)

    def best(self, logits: Tensor) -> Tensor:
        """The likeliest policy (N, H, W) uint8; of equally likely ones that which computes."""
        raise NotImplementedError(f"{type(self).__name__} does not say which policy is the best")

    def draw(self, logits: Tensor, tau: float, known: Tensor | None) -> Choice:
        """A random choice for training; rows that are not ``known`` (N,) are computed."""
        raise NotImplementedError(f"{type(self).__name__} does not say how policies are drawn")

    def settle(self, policy: Tensor) -> Tensor:
        """A policy of three kinds of sites as this gate could have chosen it."""
        return policy

    def macs(self, sites: int, share: float = 1.0) -> int:
        """Multiply-accumulates for ``sites`` sites; ``share`` of the gate is evaluated."""
        return round(sites * self.weight.numel() * share)


class TripleGate(Gate):
    """Skip, reuse or compute, by the previous and the current input side by side (Eq. 7).

    Args:
        guarded: the convolution.
    """

    outputs = 3

    def __init__(self, guarded: nn.Conv2d):
        super().__init__(guarded, inputs=2)

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split the gate on [previous, current] by linearity, in one convolution.

        Returns:
            What ``x`` (N, C_in, H, W) adds to the logits of its own frame, with the bias, and what it will add to those
            of the next frame; both (N, 3, H_out, W_out). So three channels are kept instead of an input.
        """
        before, now = self.weight.chunk(2, dim=1)
        bias = torch.cat([self.bias, torch.zeros_like(self.bias)])
        own, echo = F.conv2d(x, torch.cat([now, before]), bias, self.stride, self.padding, self.dilation).chunk(2, 1)
        return own, echo.clone()

    def echo(self, x: Tensor) -> Tensor:
        """The second half of :meth:`halves` alone, for frames that are processed densely."""
        before = self.weight[:, : self.in_channels // 2]
        return F.conv2d(x, before, None, self.stride, self.padding, self.dilation)

    def best(self, logits: Tensor) -> Tensor:
        """See the base class."""
        return best_policy(logits)

    def draw(self, logits: Tensor, tau: float, known: Tensor | None) -> Choice:
        """See the base class."""
        drawn = gumbel_softmax_policy(logits.float(), tau)
        if known is not None:
            only_compute = torch.eye(3, device=logits.device)[COMPUTE][:, None, None]
            drawn = torch.where(known[:, None, None, None], drawn, only_compute)
        return Choice(drawn.detach().argmax(dim=1).to(torch.uint8), drawn)


class BinaryGate(Gate):
    """Compute, or not, by the current input.

    Args:
        guarded: the convolution.
        otherwise: what sites do that do not compute, SKIP or REUSE.
    """

    def __init__(self, guarded: nn.Conv2d, otherwise: int):
        super().__init__(guarded)
        self.otherwise = otherwise

    def best(self, logits: Tensor) -> Tensor:
        """See the base class."""
        return self.policy_of(logits[:, 0] >= 0)

    def draw(self, logits: Tensor, tau: float, known: Tensor | None) -> Choice:
        """See the base class."""
        drawn = gumbel_sigmoid(logits.float(), tau)
        if known is not None:
            drawn = torch.where(known[:, None, None, None], drawn, 1.0)
        return Choice(self.policy_of(drawn[:, 0].detach() > 0.5), drawn)

    def settle(self, policy: Tensor) -> Tensor:
        """See the base class."""
        return policy.masked_fill(policy != COMPUTE, self.otherwise)

    def policy_of(self, computed: Tensor) -> Tensor:
        """Policy (N, H, W) uint8 of the sites that are computed (N, H, W) bool."""
        return computed.to(torch.uint8).mul_(COMPUTE - self.otherwise).add_(self.otherwise)


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
