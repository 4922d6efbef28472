"""Triple sparse convolution."""

import torch
from torch import Tensor, nn

from ....registry import SPARSE_CONVS
from . import operators as ops
from .base import SparseConv
from .context import FrameContext, current
from .folded import FoldedConv
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
        if bool((policy == COMPUTE).all()):
            return self.convolve(x)
        return ops.triple_sparse_conv2d(x, self.weight, self.bias, policy, previous, self.stride, self.padding,
                                        self.dilation, self.groups)

    # Inference with what follows folded in --------------------------------------------------------------------------

    def fused(self, x: Tensor, norm: nn.Module, relu: bool) -> Tensor | None:
        """``relu(norm(conv(x)))`` in inference: norm folded, previous outputs updated in place.

        The result is the buffer of the layer: it is valid until the next frame, and must not be written to.

        Returns:
            None where it cannot be done so (training, gradients, a norm that cannot be folded, no frame loop).
        """
        context = current()
        if context is None or self.training or torch.is_grad_enabled():
            return None
        folded = self.folded(x, norm, relu)
        return None if folded is None else folded.run(self, x, context)

    def folded(self, x: Tensor, norm: nn.Module, relu: bool) -> FoldedConv | None:
        """Packed weights for the type of ``x``; made anew when weights or norm have changed."""
        if not FoldedConv.possible(x, norm):
            return None
        stamp = FoldedConv.stamp(self, x, norm, relu)
        if self._folded is None or self._folded.stamp_of_weights != stamp:
            self._folded = FoldedConv(self, x, norm, relu, stamp)
        return self._folded

    _folded: FoldedConv | None = None

    def train(self, mode: bool = True) -> "TripleSparseConv":
        """Forget packed weights: they may change now without being noticed."""
        self._folded = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_folded": None}
