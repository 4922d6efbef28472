"""A convolution, the norm behind it and a ReLU as one step of inference on packed weights."""

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.build import FrozenBN
from .gates import COMPUTE, REUSE, SKIP

if TYPE_CHECKING:
    from .... import ops

KIND = "folded"


class FoldedConv:
    """``relu(norm(conv(x)))`` with folded weights, at some sites or at all.

    Sites that are zero before the norm hold ``relu(norm(0))`` after it, a constant per channel.

    Args:
        layer: the sparse convolution.
        x: an input, which tells type and size.
        norm: what follows it: batch norm in evaluation mode, or nothing.
        relu: a ReLU follows the norm.
        always_dense: every frame computes all sites, so that transformed weights pay on small maps too.
        lean: where transformed weights are held, the direct ones are not.

    Attributes:
        stamp_of_weights: see :meth:`stamp`; set by the layer.
        weight, bias: folded; where kernels are compiled, the weight is dropped once it is packed.
    """

    def __init__(self, layer: nn.Conv2d, x: Tensor, norm: nn.Module, relu: bool, always_dense: bool = False,
                 lean: bool = False):
        from .... import ops

        self.stamp_of_weights: tuple = ()
        self.dtype = working_type(x)
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        self.skipped = weight.new_zeros(layer.out_channels)
        if not isinstance(norm, nn.Identity):
            weight, bias = ops.fold_batch_norm(weight, bias, norm)
            self.skipped = F.batch_norm(self.skipped[None, :, None, None], norm.running_mean, norm.running_var,
                                        norm.weight, norm.bias, eps=norm.eps).flatten().detach()
        self.weight = weight.to(self.dtype)
        self.bias = None if bias is None else bias.to(self.dtype)
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.relu = relu
        self.input_sites = x.shape[0] * x.shape[2] * x.shape[3]
        self.always_dense, self.lean = always_dense, lean

    @staticmethod
    def possible(norm: nn.Module) -> bool:
        """Whether what follows the convolution can be folded into it."""
        if isinstance(norm, nn.BatchNorm2d):
            return not norm.training and norm.running_mean is not None
        return isinstance(norm, (nn.Identity, FrozenBN))

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
                                      groups=groups, activation="relu" if self.relu else None, dtype=self.dtype,
                                      skipped=self.skipped)
        packed = prepared.packed
        if packed is not None:
            # Only shape and type of the weight are looked at from here on: its values are in the packed form.
            prepared.weight = self.weight = self.weight.new_zeros(()).expand(self.weight.shape)
            features = self.input_sites * self.weight.shape[1]
            if packed.winograd is None:
                return prepared
            if not self.always_dense and packed.winograd.numel() > features:
                # More weights than features: the transform would cost memory, and time to read it, for few tiles.
                prepared.packed = replace(packed, winograd=None)
            elif self.always_dense or self.lean:
                prepared.packed = packed.only_winograd()
        return prepared

    @property
    def has_winograd(self) -> bool:
        """Whether the compiled kernels transform tiles of this layer, which is faster at every density."""
        return self.prepared.packed is not None and self.prepared.packed.winograd is not None

    # Steps on a frame -----------------------------------------------------------------------------------------------

    def everywhere(self, x: Tensor, out: Tensor | None = None, shortcut: Tensor | None = None) -> Tensor:
        """All sites, into ``out`` (channels last) of the right shape, or new; ``shortcut`` comes before ReLU."""
        if self.prepared.packed is None:
            dense = F.conv2d(x, self.weight, self.bias, *self.geometry).contiguous(memory_format=torch.channels_last)
            dense = dense if shortcut is None else dense.add_(shortcut)
            return dense.relu_() if self.relu else dense
        shape = self.output_shape(x)
        if out is None or tuple(out.shape) != shape:
            out = self.room(x)
        return self.prepared(x, all_sites((shape[0], *shape[2:]), x.device), out, shortcut)

    def anew(self, x: Tensor, sites: "ops.Sites", shortcut: Tensor | None = None) -> Tensor:
        """A new output by a policy that reuses nothing: computed sites, and the constant at the others."""
        return self.prepared(x, sites, self.room(x), shortcut)

    def of_rows(self, rows: Tensor, sites: "ops.Sites", like: Tensor, shortcut: Tensor | None) -> Tensor:
        """The same of the inputs (M, C_in) of the computed sites, for pointwise layers; ``like`` is a whole input."""
        return self.prepared.from_rows(rows, sites, self.room(like), shortcut)

    def somewhere(self, x: Tensor, policy: Tensor, sites: "ops.Sites", out: Tensor, before: Tensor | None) -> Tensor:
        """Carry a policy out in place: computed sites, and the constant at skipped ones.

        Args:
            sites: the computed sites of ``policy``.
            out: the output of the frame before.
            before: policy of that frame, None if it was dense. What was skipped then holds the constant already.
        """
        if before is not None:
            policy = policy.masked_fill((policy == SKIP) & (before == SKIP), REUSE)
        return self.prepared(x, replace(sites, policy=policy), out)

    def room(self, x: Tensor) -> Tensor:
        """Memory for a new output, channels last."""
        return torch.empty(self.output_shape(x), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)

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
