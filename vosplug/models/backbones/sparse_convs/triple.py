"""Triple sparse convolution."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import SparseConv
from .context import FrameContext
from .folded import KIND, FoldedConv
from .gates import COMPUTE, REUSE, best_policy, gumbel_softmax_policy

if TYPE_CHECKING:
    from .... import ops


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

    @property
    def keeps_output(self) -> bool:
        """Whether a layer in inference keeps outputs (Eq. 8), or, being lean, the inputs that they are made of.

        A pointwise layer can make a reused output again from the input of its site, and one that widens, as the last of
        a bottleneck does, has the smaller inputs: a quarter there. Inputs of sites, side by side, cannot be reordered
        as objects come and go, so layers that run per object keep outputs.
        """
        pointwise = self.kernel_size == self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1
        widens = self.in_channels < self.out_channels and self.in_channels % 2 == 0
        return not (self.lean and self.per_frame and pointwise and widens)

    def densely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor] | None,
                       context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """See the base class: what was kept of the frame before is overwritten."""
        if self.keeps_output:
            out = folded.everywhere(x, None if previous is None else context.buffer(self, previous))
            kept = {"kept": out}
        else:
            out = folded.everywhere(x, shortcut=shortcut)
            kept = {"inputs": context.lend(x)}
        context.keep(self, x, KIND, echo=self.gate.echo(x), **kept)
        self.report(context, out, gate_share=0.5)
        return out

    def sparsely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor], known: Tensor | None,
                        context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """Eq. 7 and 8 in place: reused sites cost nothing, and skipped ones only where they were not skipped before."""
        own, echo = self.gate.halves(x)
        policy = self.settle(best_policy(own + previous["echo"]), known)
        sites = context.sites(policy)
        if not self.keeps_output:
            return self.remake(x, folded, policy, sites, previous, echo, context, shortcut)
        out = folded.somewhere(x, policy, sites, context.buffer(self, previous), previous.get("policy"))
        context.keep(self, x, KIND, kept=out, echo=echo.clone(), policy=policy)
        self.report(context, out, policy)
        return out

    def remake(self, x: Tensor, folded: FoldedConv, policy: Tensor, sites: "ops.Sites", previous: dict[str, Tensor],
               echo: Tensor, context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """Eq. 8 with reused outputs made again, of the inputs of their sites when they were computed.

        Such inputs are kept for the sites that are not zero, side by side; of a dense frame as the map that they are.
        """
        from .... import ops
        from ....ops.sparse_conv.indexed import rows_of

        held = torch.ones_like(policy, dtype=torch.bool)
        if "index" in previous:  # what is reused of a zero is a zero
            held.zero_().view(-1).index_fill_(0, previous["index"], True)
        made = (policy == COMPUTE) | (policy == REUSE) & held
        made = ops.Sites.from_policy(made.to(torch.uint8) * COMPUTE)
        index = made.index.long()
        rows = rows_of(x).index_select(0, index)
        reused = (policy.flatten()[index] == REUSE).nonzero().flatten()
        source, places = previous["inputs"], index[reused]
        if "index" in previous:
            places = torch.searchsorted(previous["index"], places)
        else:
            source = rows_of(source)
        rows.index_copy_(0, reused, source.index_select(0, places))
        out = folded.of_rows(rows, made, x, shortcut)
        context.keep(self, x, KIND, inputs=rows, index=index, echo=echo.clone())
        self.report(context, out, policy, repeated=made.count - sites.count)
        return out
