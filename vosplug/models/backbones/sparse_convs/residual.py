"""Residual sparse convolution, a baseline."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import SPARSE_CONVS
from . import operators as ops
from .base import SparseConv
from .context import FrameContext
from .gates import COMPUTE, REUSE, gumbel_sigmoid


@SPARSE_CONVS.register_module()
class ResidualSparseConv(SparseConv):
    """The previous output, to which sites may add the convolution of the input's change (Skip-Convolution).

    Habibian et al., "Skip-Convolutions for Efficient Video Processing", CVPR 2021. Changes of sites that are not
    computed are lost for good, so errors accumulate.

    Args: see :class:`~.base.SparseConv`.
    """

    def densely(self, x: Tensor, context: FrameContext) -> Tensor:
        """See the base class."""
        out = self.convolve(x)
        context.keep(self, x, out=out, x=x)
        self.report(context, out, gate_share=0.0)
        return out

    def sparsely(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None, context: FrameContext) -> Tensor:
        """z_t = z_{t-1} + gate * conv(x_t - x_{t-1})."""
        before = previous["out"]
        change = x - previous["x"]
        if known is not None:  # a start from nothing: all of the input is change, and the output so far is the bias
            rows = known[:, None, None, None]
            start = torch.zeros_like(before) if self.bias is None else self.bias.to(before)[:, None, None]
            change, before = torch.where(rows, change, x), torch.where(rows, before, start)
        logits = self.gate(change)
        if self.training:
            choice = gumbel_sigmoid(logits.float(), self.tau)
            if known is not None:
                choice = torch.where(known[:, None, None, None], choice, 1.0)
            policy, chosen = (choice[:, 0].detach() > 0.5).to(torch.uint8) + REUSE, choice[:, 0]
            fresh = F.conv2d(change, self.weight, None, self.stride, self.padding, self.dilation, self.groups)
            out = before + choice.to(fresh.dtype) * fresh
        else:
            policy, chosen = self.settle((logits[:, 0] >= 0).to(torch.uint8) + REUSE, known), None
            out = ops.residual_sparse_conv2d(change, torch.zeros_like(change), self.weight, policy, before, self.stride,
                                             self.padding, self.dilation, self.groups)
        context.keep(self, x, out=out, x=x)
        self.report(context, out, policy, chosen, known)
        return out

    def constructed(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """What would be skipped is reused."""
        policy = super().constructed(shape, device)
        return policy.masked_fill(policy != COMPUTE, REUSE)
