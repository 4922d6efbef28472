"""Triple sparse convolution."""

import torch
from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import SparseConv
from .context import FrameContext
from .folded import KIND, FoldedConv, writable
from .gates import COMPUTE, REUSE, best_policy, gumbel_softmax_policy


@SPARSE_CONVS.register_module()
class TripleSparseConv(SparseConv):
    """Each site is skipped (zero), reused (the previous output) or computed (SpVOS, III-C, Eq. 7-9).

    The gate sees the previous and the current input of the layer. In training the policy is sampled, with straight-
    through gradients; in evaluation it is the arg-max, and only computed sites cost anything. Zeros are written before
    a norm that follows.

    Args: see :class:`~.base.SparseConv`.
    """

    gate_inputs = 2
    gate_outputs = 3

    def densely(self, x: Tensor, context: FrameContext) -> Tensor:
        """See the base class."""
        out = self.convolve(x)
        context.keep(self, x, out=out, echo=self.gate.echo(x))
        self.report(context, out, gate_share=0.5)
        return out

    def sparsely(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None, context: FrameContext) -> Tensor:
        """Eq. 7 and 8."""
        own, echo = self.gate.halves(x)
        logits = own + previous["echo"]
        if self.training:
            choice = gumbel_softmax_policy(logits.float(), self.tau)
            if known is not None:
                only_compute = torch.eye(3, device=x.device)[COMPUTE][:, None, None]
                choice = torch.where(known[:, None, None, None], choice, only_compute)
            policy, chosen = choice.detach().argmax(dim=1).to(torch.uint8), choice[:, COMPUTE]
            dense = self.convolve(x)
            weights = choice.to(dense.dtype)
            out = (weights[:, COMPUTE, None] * dense
                   + weights[:, REUSE, None] * previous["out"].to(dense.dtype))
        else:
            policy, chosen = self.settle(best_policy(logits), known), None
            out = self.choose(x, policy, previous["out"])
        context.keep(self, x, out=out, echo=echo)
        self.report(context, out, policy, chosen, known)
        return out

    def choose(self, x: Tensor, policy: Tensor, previous: Tensor) -> Tensor:
        """Eq. 8 for a given policy, by the operator; where all is computed, by the very convolution that is dense."""
        from .... import ops

        if bool((policy == COMPUTE).all()):
            return self.convolve(x)
        return ops.triple_sparse_conv2d(x, self.weight, self.bias, policy, previous, self.stride, self.padding,
                                        self.dilation, self.groups)

    # Inference with what follows folded in --------------------------------------------------------------------------

    def densely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor] | None,
                       context: FrameContext) -> Tensor:
        """See the base class: the output of the frame before is overwritten."""
        out = folded.everywhere(x, None if previous is None else writable(previous["out"]))
        context.keep(self, x, KIND, out=out, echo=self.gate.echo(x))
        self.report(context, out, gate_share=0.5)
        return out

    def sparsely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor], known: Tensor | None,
                        context: FrameContext) -> Tensor:
        """Eq. 7 and 8 in place: reused sites cost nothing, and skipped ones only where they were not skipped before."""
        own, echo = self.gate.halves(x)
        policy = self.settle(best_policy(own + previous["echo"]), known)
        out = folded.somewhere(x, policy, context.sites(policy), writable(previous["out"]), previous.get("policy"))
        context.keep(self, x, KIND, out=out, echo=echo, policy=policy)
        self.report(context, out, policy)
        return out
