"""Residual sparse convolution, a baseline."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import SparseConv
from .context import FrameContext
from .folded import KIND, FoldedConv
from .gates import COMPUTE, REUSE, gumbel_sigmoid

if TYPE_CHECKING:
    from .... import ops


@SPARSE_CONVS.register_module()
class ResidualSparseConv(SparseConv):
    """The previous output, to which sites may add the convolution of the input's change (Skip-Convolution).

    Habibian et al., "Skip-Convolutions for Efficient Video Processing", CVPR 2021. Changes of sites that are not
    computed are lost for good, so errors accumulate.

    Args: see :class:`~.base.SparseConv`.
    """

    can_be_lean = False  # it keeps inputs and outputs, and computes on weights that are not packed

    def densely(self, x: Tensor, context: FrameContext) -> Tensor:
        """See the base class."""
        out = self.convolve(x)
        context.keep(self, x, out=out, x=x)
        self.report(context, out, gate_share=0.0)
        return out

    def sparsely(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None, context: FrameContext) -> Tensor:
        """z_t = z_{t-1} + gate * conv(x_t - x_{t-1})."""
        change, before = self.changes(x, previous, known, self.bias)
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
            out = self.add_changes(change, self.weight, policy, before)
        context.keep(self, x, out=out, x=x)
        self.report(context, out, policy, chosen, known)
        return out

    def changes(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None,
                bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Change of the input, and the output so far. For a row without past all is change, the output is the bias."""
        before, change = previous["out"], x - previous["x"]
        if known is not None:
            rows = known[:, None, None, None]
            start = torch.zeros_like(before) if bias is None else bias.to(before)[:, None, None]
            change, before = torch.where(rows, change, x), torch.where(rows, before, start)
        return change, before

    def add_changes(self, change: Tensor, weight: Tensor, policy: "Tensor | ops.Sites", before: Tensor) -> Tensor:
        """The output so far plus, at computed sites, the convolution of the change."""
        from .... import ops

        return ops.residual_sparse_conv2d(change, torch.zeros_like(change), weight, policy, before, self.stride,
                                          self.padding, self.dilation, self.groups)

    def densely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor] | None,
                       context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """See the base class. What is kept is the output of the norm, before the ReLU: changes add up there."""
        out = F.conv2d(x, folded.weight, folded.bias, *folded.geometry)
        context.keep(self, x, KIND, out=out, x=x)
        self.report(context, out, gate_share=0.0)
        return out.relu() if folded.relu else out

    def sparsely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor], known: Tensor | None,
                        context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """The norm is a scale and a shift per channel, so the change of its output is the folded convolution's."""
        change, before = self.changes(x, previous, known, folded.bias)
        policy = self.settle((self.gate(change)[:, 0] >= 0).to(torch.uint8) + REUSE, known)
        out = self.add_changes(change, folded.weight, context.sites(policy), before)
        context.keep(self, x, KIND, out=out, x=x)
        self.report(context, out, policy)
        return out.relu() if folded.relu else out

    def constructed(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """What would be skipped is reused."""
        policy = super().constructed(shape, device)
        return policy.masked_fill(policy != COMPUTE, REUSE)
