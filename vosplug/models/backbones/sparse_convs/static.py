"""Static sparse convolution, a baseline."""

import torch
from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import SparseConv
from .context import FrameContext
from .folded import FoldedConv
from .gates import COMPUTE, SKIP, gumbel_sigmoid


@SPARSE_CONVS.register_module()
class StaticSparseConv(SparseConv):
    """Each site is computed or zero, by the current input alone (dynamic convolutions, Verelst and Tuytelaars, 2020).

    The squeeze branch of their mask unit is not part of it, as the sizes in SpVOS's tables tell.

    Args: see :class:`~.base.SparseConv`.
    """

    temporal = False
    keeps_output = False

    def densely(self, x: Tensor, context: FrameContext) -> Tensor:
        """See the base class."""
        out = self.convolve(x)
        self.report(context, out, gate_share=0.0)
        return out

    def sparsely(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None, context: FrameContext) -> Tensor:
        """Zero where the gate says so."""
        logits = self.gate(x)
        if self.training:
            choice = gumbel_sigmoid(logits.float(), self.tau)
            policy, chosen = (choice[:, 0].detach() > 0.5).to(torch.uint8) * COMPUTE, choice[:, 0]
            dense = self.convolve(x)
            out = choice.to(dense.dtype) * dense
        else:
            policy, chosen = self.settle((logits[:, 0] >= 0).to(torch.uint8) * COMPUTE, known), None
            out = self.choose(x, policy)
        self.report(context, out, policy, chosen)
        return out

    def choose(self, x: Tensor, policy: Tensor) -> Tensor:
        """Carry a policy out; where all is computed, by the very convolution that is dense."""
        from .... import ops

        if bool((policy == COMPUTE).all()):
            return self.convolve(x)
        return ops.static_sparse_conv2d(x, self.weight, self.bias, policy, self.stride, self.padding, self.dilation,
                                        self.groups)

    def densely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor] | None,
                       context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """See the base class."""
        out = folded.everywhere(x, shortcut=shortcut)
        self.report(context, out, gate_share=0.0)
        return out

    def sparsely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor], known: Tensor | None,
                        context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """Sites that are not computed hold the constant that the norm makes of zero."""
        policy = self.settle((self.gate(x)[:, 0] >= 0).to(torch.uint8) * COMPUTE, known)
        sites = context.sites(policy)
        everything = sites.count == policy.numel()
        out = folded.everywhere(x, shortcut=shortcut) if everything else folded.anew(x, sites, shortcut)
        self.report(context, out, policy)
        return out

    def constructed(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """What would be reused is skipped."""
        policy = super().constructed(shape, device)
        return policy.masked_fill(policy != COMPUTE, SKIP)
