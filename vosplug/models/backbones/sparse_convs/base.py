"""The part that all sparse convolutions share: a drop-in for ``nn.Conv2d`` with a gate."""

from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....utils.errors import ConfigError
from ...layers.build import add_and_activate
from .constructed import ClusteredPolicy
from .context import FrameContext, Work, current
from .folded import KIND, FoldedConv
from .folding import NO_NORM, FoldingConv
from .gates import COMPUTE, Gate


class SparseConv(FoldingConv):
    """Base of convolutions that compute a part of their sites.

    Outside of a frame loop, and on frames that a policy of the segmentor keeps dense, it is the dense convolution. The
    names of its parameters are those of ``nn.Conv2d``; the gate's (``gate.weight``, ``gate.bias``) come on top, see
    :func:`~.weights.load_dense_weights`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as for ``nn.Conv2d``.
        tau: temperature of the Gumbel-softmax.
        compute_bias: initial advantage of computing, in logits of the gate.
        shares: (computed, reused) shares of sites; in evaluation they replace what the gate says (its cost stays), by
            clusters. For measurements of speed only.

    Attributes:
        forced: what decides instead of the gate in evaluation, ``forced(name, shape, device) -> policy``; see
            :mod:`.constructed`. None: the gate.
        name: under which previous features are kept; given by the segmentor.
        per_frame: the rows of the input are the frames of the batch, not (video, object) pairs.
    """

    temporal = True  # without previous features there is nothing to decide
    keeps_output = True  # in inference with folding; otherwise a shortcut can be added while the output is made
    can_be_lean = True
    gate_inputs = 1
    gate_outputs = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple, stride: int | tuple = 1,
                 padding: int | tuple = 0, dilation: int | tuple = 1, groups: int = 1, bias: bool = True,
                 tau: float = 1.0, compute_bias: float = 0.0, shares: tuple[float, float] | None = None):
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation,
                         groups=groups, bias=bias)
        # The operators are loaded where a layer needs them, not by dense models; from then on they can be counted.
        import_module("vosplug.ops")
        if isinstance(padding, str):
            raise ConfigError(f"{type(self).__name__}.padding must be numbers, got {padding!r}")
        if not tau > 0:
            raise ConfigError(f"{type(self).__name__}.tau must be positive, got {tau}")
        self.tau = tau
        self.name = ""
        self.per_frame = False
        self.forced = None if shares is None else ClusteredPolicy(*check_shares(shares))
        self.gate = Gate(self, in_channels * self.gate_inputs, self.gate_outputs, compute_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        context = current()
        if context is None:
            return self.convolve(x)
        found = context.recall(self, x)
        if context.dense or (self.temporal and found is None):
            return self.densely(x, context)
        previous, known = found or ({}, None)
        return self.sparsely(x, previous, known, context)

    def convolve(self, x: Tensor) -> Tensor:
        """The dense convolution."""
        self.need_weight("computed outside of inference on a video")
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def densely(self, x: Tensor, context: FrameContext) -> Tensor:
        """Process a frame densely and keep what the next one needs."""
        raise NotImplementedError(f"{type(self).__name__} does not say how dense frames are kept")

    def sparsely(self, x: Tensor, previous: dict[str, Tensor], known: Tensor | None, context: FrameContext) -> Tensor:
        """Process a frame sparsely.

        Args:
            previous: what the layer kept of the previous frame, rows as in ``x``.
            known: (N,) bool, rows that have previous features; None for all. The others must be computed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how sparse frames are processed")

    # What the kinds of sparse convolutions need ---------------------------------------------------------------------

    @property
    def site_cost(self) -> int:
        """Multiply-accumulates per site, c_k of Eq. 12."""
        return self.weight[0].numel() * self.out_channels

    def settle(self, policy: Tensor, known: Tensor | None) -> Tensor:
        """The policy (N, H, W) uint8 that is carried out: a forced one if there is any, rows without past computed."""
        if self.forced is not None:
            policy = self.constructed(tuple(policy.shape), policy.device)
        if known is not None:
            policy = policy.masked_fill(~known[:, None, None], COMPUTE)
        return policy

    def constructed(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """The policy that is forced upon the layer, of the kinds of sites that it knows."""
        return self.forced(self.name, shape, device)

    # Inference with what follows folded in --------------------------------------------------------------------------

    def fused(self, x: Tensor, norm: nn.Module, relu: bool, shortcut: Tensor | None = None) -> Tensor | None:
        """``relu(norm(conv(x)) + shortcut)`` in inference with the norm folded.

        The result may be a buffer of the layer: it is valid until the next frame, and must not be written to.

        A norm that cannot be folded (group norm looks at all sites) runs after the convolution, which still updates
        its output in place.

        Returns:
            None where it cannot be done so (training, gradients, no frame loop, or the frame loop does not fold).
        """
        context = self.folding_context()
        if context is None:
            return None
        if not FoldedConv.possible(norm):
            return add_and_activate(norm(self.fused(x, NO_NORM, relu=False)), shortcut, relu)
        if shortcut is not None and self.keeps_output:
            return add_and_activate(self.fused(x, norm, relu=False), shortcut, relu)
        folded = self.folded(x, norm, relu)
        found = context.recall(self, x, KIND, whole=not self.keeps_output)
        x = x.to(folded.dtype)
        if shortcut is not None:
            shortcut = shortcut.to(folded.dtype).contiguous(memory_format=torch.channels_last)
        if context.dense or (self.temporal and found is None):
            return self.densely_folded(x, folded, None if found is None else found[0], context, shortcut)
        previous, known = found or ({}, None)
        return self.sparsely_folded(x, folded, previous, known, context, shortcut)

    def densely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor] | None,
                       context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """As :meth:`densely`.

        Args:
            previous: what was kept of the frame before, whose buffers may be used again.
            shortcut: to add before the activation; only where the layer does not keep its output.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how dense frames are kept when it is folded")

    def sparsely_folded(self, x: Tensor, folded: FoldedConv, previous: dict[str, Tensor], known: Tensor | None,
                        context: FrameContext, shortcut: Tensor | None) -> Tensor:
        """As :meth:`sparsely`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how sparse frames are processed when folded")

    def report(self, context: FrameContext, out: Tensor, policy: Tensor | None = None, chosen: Tensor | None = None,
               known: Tensor | None = None, gate_share: float = 1.0, repeated: int = 0) -> None:
        """Tell the context what was done.

        Args:
            chosen: (N, H, W) in training, 1 at sites that are computed, differentiable.
            gate_share: share of the gate that was evaluated.
            repeated: reused sites that were computed again from what the layer kept.
        """
        sites = out.shape[0] * out.shape[2] * out.shape[3]
        work = Work(self.name, self.site_cost, self.gate.macs(sites, gate_share), sites, policy,
                    repeated=repeated)
        if chosen is not None:
            rows = chosen if known is None else chosen[known]
            work.chosen, work.decided = rows.sum(), rows.numel()
        context.work.append(work)


def check_shares(shares: tuple[float, float] | None) -> tuple[float, float] | None:
    """Raise :class:`ConfigError` unless shares are two numbers of at least 0 that add up to at most 1."""
    if shares is None:
        return None
    values = tuple(shares)
    if len(values) != 2 or min(values) < 0 or sum(values) > 1:
        raise ConfigError(f"shares must be (computed, reused), at least 0 and together at most 1, got {shares}")
    return values
