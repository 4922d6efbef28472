"""A convolution, the norm behind it and a ReLU as one step of inference on packed weights."""

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gates import COMPUTE, REUSE, SKIP

if TYPE_CHECKING:
    from .... import ops

KIND = "folded"


class FoldedConv:
    """``relu(norm(conv(x)))`` with folded weights, at some sites or at all.

    Sites that are zero before the norm hold ``fill = relu(norm(0))`` after it, a constant per channel.

    Args:
        layer: the sparse convolution.
        x: an input, which tells type and size.
        norm: what follows it: batch norm in evaluation mode, or nothing.
        relu: a ReLU follows the norm.
        stamp: see :meth:`stamp`.
        always_dense: every frame computes all sites, so that transformed weights pay on small maps too.

    Attributes:
        weight, bias: folded; where kernels are compiled, the weight is dropped once it is packed.
    """

    def __init__(self, layer: nn.Conv2d, x: Tensor, norm: nn.Module, relu: bool, stamp: tuple,
                 always_dense: bool = False):
        from .... import ops

        self.stamp_of_weights = stamp
        self.dtype = working_type(x)
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        fill = weight.new_zeros(layer.out_channels)
        if isinstance(norm, nn.BatchNorm2d):
            weight, bias = ops.fold_batch_norm(weight, bias, norm)
            fill = F.batch_norm(fill[None, :, None, None], norm.running_mean, norm.running_var, norm.weight, norm.bias,
                                eps=norm.eps).flatten().detach()
        self.fill = (fill.relu() if relu else fill).to(self.dtype)
        self.fills_zeros = not bool(self.fill.any())
        self.weight = weight.to(self.dtype)
        self.bias = None if bias is None else bias.to(self.dtype)
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.relu = relu
        self.input_sites = x.shape[0] * x.shape[2] * x.shape[3]
        self.always_dense = always_dense

    @staticmethod
    def possible(norm: nn.Module) -> bool:
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

    @cached_property
    def prepared(self) -> "ops.PreparedConv2d":
        """The weights in the order of the kernels."""
        from .... import ops

        stride, padding, dilation, groups = self.geometry
        prepared = ops.PreparedConv2d(self.weight, self.bias, stride=stride, padding=padding, dilation=dilation,
                                      groups=groups, activation="relu" if self.relu else None, dtype=self.dtype)
        packed = prepared.packed
        if packed is not None:
            # Only shape and type of the weight are looked at from here on: its values are in the packed form.
            prepared.weight = self.weight = self.weight.new_zeros(()).expand(self.weight.shape)
            features = self.input_sites * self.weight.shape[1]
            if packed.winograd is None:
                return prepared
            if self.always_dense:
                prepared.packed = packed.only_winograd()
            elif packed.winograd.numel() > features:
                # More weights than features: the transform would cost memory, and time to read it, for few tiles.
                prepared.packed = replace(packed, winograd=None)
        return prepared

    @property
    def has_winograd(self) -> bool:
        """Whether the compiled kernels transform tiles of this layer, which is faster at every density."""
        return self.prepared.packed is not None and self.prepared.packed.winograd is not None

    # Steps on a frame -----------------------------------------------------------------------------------------------

    def everywhere(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """All sites, into ``out`` (channels last) if there is one of the right shape."""
        if self.prepared.packed is None:
            dense = F.conv2d(x, self.weight, self.bias, *self.geometry).contiguous(memory_format=torch.channels_last)
            return dense.relu_() if self.relu else dense
        shape = self.output_shape(x)
        if out is None or tuple(out.shape) != shape:
            out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        return self.prepared(x, all_sites((shape[0], *shape[2:]), x.device), out)

    def somewhere(self, x: Tensor, policy: Tensor, sites: "ops.Sites", out: Tensor, before: Tensor | None) -> Tensor:
        """Carry a policy out in place: computed sites, and the constant at skipped ones.

        Args:
            sites: the computed sites of ``policy``.
            out: the output of the frame before.
            before: policy of that frame, None if it was dense. What was skipped then holds the constant already.
        """
        fresh = policy == SKIP
        if before is not None:
            fresh &= before != SKIP
        if self.fills_zeros:  # the kernel writes zeros itself
            keep = torch.full_like(policy, REUSE).masked_fill_(policy == COMPUTE, COMPUTE).masked_fill_(fresh, SKIP)
            return self.prepared(x, replace(sites, policy=keep), out)
        if fresh.any():
            rows = fresh.flatten().nonzero().flatten()
            flat = out.permute(0, 2, 3, 1).reshape(-1, out.shape[1])  # a view: the buffer is channels last
            flat.index_copy_(0, rows, self.fill.expand(len(rows), -1))
        return self.computed(x, sites, out)

    def computed(self, x: Tensor, sites: "ops.Sites", out: Tensor) -> Tensor:
        """The computed sites into ``out``, whose other sites stay as they are."""
        keep = torch.full_like(sites.policy, REUSE).masked_fill_(sites.policy == COMPUTE, COMPUTE)
        return self.prepared(x, replace(sites, policy=keep), out)

    def filled(self, x: Tensor) -> Tensor:
        """A new output that holds the constant everywhere."""
        out = torch.empty(self.output_shape(x), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        return out.copy_(self.fill[None, :, None, None].expand_as(out))

    def output_shape(self, x: Tensor) -> tuple[int, int, int, int]:
        """(N, C_out, H_out, W_out)."""
        (stride, padding, dilation, _), kernel = self.geometry, self.weight.shape[2:]
        size = ((x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
        return (x.shape[0], self.weight.shape[0], *size)


@lru_cache(maxsize=32)
def all_sites(shape: tuple[int, int, int], device: torch.device) -> "ops.Sites":
    """Every site of a map (N, H, W)."""
    from .... import ops

    return ops.Sites.from_policy(torch.full(shape, COMPUTE, dtype=torch.uint8, device=device))


def working_type(x: Tensor) -> torch.dtype:
    """The type that a convolution of ``x`` computes in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x.dtype


def writable(buffer: Tensor) -> Tensor:
    """``buffer`` in channels last; a copy where it came out of inference mode and that is over."""
    buffer = buffer.contiguous(memory_format=torch.channels_last)
    return buffer.clone() if buffer.is_inference() and not torch.is_inference_mode_enabled() else buffer
