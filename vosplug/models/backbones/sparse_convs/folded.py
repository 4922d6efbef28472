"""A triple sparse convolution, the norm behind it and a ReLU as one in-place step of inference."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import operators as ops
from .context import FrameContext
from .gates import COMPUTE, REUSE, SKIP, best_policy

KIND = "folded"


class FoldedConv:
    """``relu(norm(triple(x)))`` with folded weights. The layer's buffer holds the result of the previous frame.

    Skipped sites are zero before the norm, so they hold ``relu(norm(0))``, a constant per channel: it is written only
    at sites that were not skipped in the frame before. Reused sites cost nothing.

    Args:
        layer: the triple sparse convolution.
        x: an input, which tells the type.
        norm: what follows it: batch norm in evaluation mode, or nothing.
        relu: a ReLU follows the norm.
        stamp: see :meth:`stamp`.
    """

    def __init__(self, layer: nn.Conv2d, x: Tensor, norm: nn.Module, relu: bool, stamp: tuple):
        self.stamp_of_weights = stamp
        self.dtype = working_type(x)
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        fill = weight.new_zeros(layer.out_channels)
        if isinstance(norm, nn.BatchNorm2d):
            weight, bias = ops.fold_batch_norm(weight, bias, norm)
            fill = F.batch_norm(fill[None, :, None, None], norm.running_mean, norm.running_var, norm.weight, norm.bias,
                                eps=norm.eps).flatten().detach()
        self.fill = (fill.relu() if relu else fill).to(self.dtype)
        self.weight = weight.to(self.dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(self.dtype)
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.relu = relu
        self.prepared = ops.PreparedConv2d(
            self.weight, self.bias, stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
            groups=layer.groups, activation="relu" if relu else None, dtype=self.dtype)
        self.break_even = ops.break_even(self.weight)

    @staticmethod
    def possible(x: Tensor, norm: nn.Module) -> bool:
        """Whether what follows the convolution can be folded into it."""
        if isinstance(norm, nn.BatchNorm2d):
            return not norm.training and norm.running_mean is not None
        return isinstance(norm, nn.Identity)

    @staticmethod
    def stamp(layer: nn.Module, x: Tensor, norm: nn.Module, relu: bool) -> tuple:
        """Changes when weights are written, replaced or moved."""
        tensors = (layer.weight, layer.bias, *norm.parameters(), *norm.buffers())
        return (working_type(x), relu, *((t.data_ptr(), 0 if t.is_inference() else t._version)
                                         for t in tensors if t is not None))

    def run(self, layer: nn.Module, x: Tensor, context: FrameContext) -> Tensor:
        """One frame: (N, C_in, H, W) -> the buffer (N, C_out, H_out, W_out)."""
        found = None if context.dense else context.recall(layer, x, KIND)
        x = x.to(self.dtype)
        if found is None:
            out = self.dense(x)
            context.keep(layer, x, KIND, out=out, echo=layer.gate.echo(x))
            layer.report(context, out, gate_share=0.5)
            return out
        previous, known = found
        own, echo = layer.gate.halves(x)
        policy = layer.settle(best_policy(own + previous["echo"]), known)
        out = writable(previous["out"])
        self.skip(out, policy, previous.get("policy"))
        out = self.compute(x, policy, out)
        context.keep(layer, x, KIND, out=out, echo=echo, policy=policy)
        layer.report(context, out, policy)
        return out

    def dense(self, x: Tensor) -> Tensor:
        """All sites."""
        out = F.conv2d(x, self.weight, self.bias, *self.geometry).contiguous(memory_format=torch.channels_last)
        return out.relu_() if self.relu else out

    def skip(self, out: Tensor, policy: Tensor, before: Tensor | None) -> None:
        """Write the constant at sites that are skipped now and were not before."""
        fresh = policy == SKIP
        if before is not None:
            fresh &= before != SKIP
        if fresh.any():
            out.permute(0, 2, 3, 1)[fresh] = self.fill

    def compute(self, x: Tensor, policy: Tensor, out: Tensor) -> Tensor:
        """Write the computed sites, or all of them into a new buffer where that is faster."""
        keep = (policy == COMPUTE).to(torch.uint8) + REUSE  # what is not computed is in the buffer already
        sites = ops.Sites.from_policy(keep)
        if sites.density > self.break_even:
            dense = self.dense(x)
            return dense if sites.count == keep.numel() else torch.where(keep[:, None] == COMPUTE, dense, out)
        return self.prepared(x, sites, out)


def working_type(x: Tensor) -> torch.dtype:
    """The type that a convolution of ``x`` computes in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x.dtype


def writable(buffer: Tensor) -> Tensor:
    """``buffer``, or a copy where it came out of inference mode and that is over."""
    return buffer.clone() if buffer.is_inference() and not torch.is_inference_mode_enabled() else buffer
