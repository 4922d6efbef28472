"""Carrying out what gates chose: with gradients, or in inference on packed weights at the computed sites alone.

Both executors answer the same questions, so that a kind of sparse convolution is written once:

* ``everywhere``: all sites, as a dense frame needs them;
* ``update``: computed sites, zero at skipped ones, the output before at reused ones (triple);
* ``alone``: computed sites, zero at the others (static);
* ``add``: the output before, and the convolution of a change at computed sites (residual).
"""

import dataclasses
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.build import is_fixed
from .gates import COMPUTE, REUSE, SKIP, Choice
from .kept import is_writable, sites_of

if TYPE_CHECKING:
    from .... import ops

CHANNELS_LAST = torch.channels_last


class DifferentiableConv:
    """The dense convolution, mixed by the choice: for training, and wherever gradients are wanted.

    Args:
        layer: the sparse convolution.
    """

    form = "plain"  # of the features that are kept: as the convolution gives them
    in_place: tuple[str, ...] = ()

    def __init__(self, layer: nn.Conv2d):
        self.layer = layer

    def everywhere(self, x: Tensor, out: Tensor | None = None, shortcut: Tensor | None = None) -> Tensor:
        """The dense convolution; ``out`` is not used, and there is no shortcut."""
        return self.convolve(x, self.layer.bias)

    def update(self, x: Tensor, choice: Choice, kept: dict[str, Tensor]) -> Tensor:
        """Eq. 8."""
        dense = self.convolve(x, self.layer.bias)
        return choice.of(COMPUTE, dense) * dense + choice.of(REUSE, dense) * kept["out"].to(dense.dtype)

    def alone(self, x: Tensor, choice: Choice, shortcut: Tensor | None = None) -> Tensor:
        """Zero where nothing is computed; there is no shortcut."""
        dense = self.convolve(x, self.layer.bias)
        return choice.of(COMPUTE, dense) * dense

    def add(self, change: Tensor, choice: Choice, before: Tensor, known: Tensor | None) -> Tensor:
        """The output ``before`` plus what changes; of rows that are not known it is the bias."""
        bias = self.layer.bias
        if known is not None:
            start = torch.zeros_like(before) if bias is None else bias.to(before)[:, None, None]
            before = torch.where(known[:, None, None, None], before, start)
        fresh = self.convolve(change, None)
        return before + choice.of(COMPUTE, fresh) * fresh

    def kept(self, out: Tensor, policy: Tensor | None = None) -> dict[str, Tensor]:
        """What :meth:`update` needs on the next frame."""
        return {"out": out}

    def convolve(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The dense convolution with the weight of the layer."""
        layer = self.layer
        return F.conv2d(x, layer.weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


class PackedConv:
    """``relu(norm(conv(x)))`` as one step of inference: folded, packed weights; only computed sites cost anything.

    It runs on the compiled kernels, or on PyTorch where there are none. Sites that are zero before the norm hold
    ``relu(norm(0))`` after it, a constant per channel.

    Args:
        layer: the convolution.
        x: an input, which tells type and size.
        norm: what follows it, see :meth:`possible`.
        relu: a ReLU follows the norm.
        always_dense: every frame computes all sites, so that transformed weights pay on small maps too, and no others
            are held.
        adds: the layer adds changes up (:meth:`add`), so that its bias counts once, at the start.

    Attributes:
        stamp_of_weights: see :meth:`stamp`; set by the layer.
        weight, bias: folded; where kernels are compiled, the values of the weight are dropped once they are packed.
    """

    form = "folded"
    in_place = ("out",)

    def __init__(self, layer: nn.Conv2d, x: Tensor, norm: nn.Module, relu: bool, always_dense: bool = False,
                 adds: bool = False):
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
        self.relu, self.adds, self.always_dense = relu, adds, always_dense
        self.input_sites = x.shape[0] * x.shape[2] * x.shape[3]

    @staticmethod
    def possible(norm: nn.Module) -> bool:
        """Whether what follows the convolution can be folded into it: frozen or in evaluation mode, or nothing."""
        return isinstance(norm, nn.Identity) or is_fixed(norm)

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
        prepared = ops.PreparedConv2d(self.weight, None if self.adds else self.bias, stride=stride, padding=padding,
                                      dilation=dilation, groups=groups, activation="relu" if self.relu else None,
                                      dtype=self.dtype, skipped=self.skipped)
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
                prepared.packed = dataclasses.replace(packed, winograd=None)
        return prepared

    # What executors answer ------------------------------------------------------------------------------------------

    def everywhere(self, x: Tensor, out: Tensor | None = None, shortcut: Tensor | None = None) -> Tensor:
        """All sites, into ``out`` if it has the right shape, or new; ``shortcut`` comes before the ReLU."""
        if self.prepared.packed is None:
            dense = F.conv2d(x, self.weight, self.bias, *self.geometry).contiguous(memory_format=CHANNELS_LAST)
            dense = dense if shortcut is None else dense.add_(shortcut)
            return dense.relu_() if self.relu else dense
        shape = self.output_shape(x)
        if self.adds:
            shortcut = self.start(shape)
        if out is None or tuple(out.shape) != shape or not is_writable(out):
            out = self.room(x)
        return self.prepared(x, all_sites((shape[0], *shape[2:]), x.device), channels_last(out), shortcut)

    def update(self, x: Tensor, choice: Choice, kept: dict[str, Tensor]) -> Tensor:
        """Eq. 8 in place: reused sites cost nothing, and skipped ones only where they were not skipped before."""
        policy, sites = choice.policy, sites_of(choice.policy)
        policy = policy.masked_fill((policy == SKIP) & (kept["policy"] == SKIP), REUSE)
        out = channels_last(kept["out"])
        return self.prepared(x, dataclasses.replace(sites, policy=policy), out if is_writable(out) else out.clone())

    def alone(self, x: Tensor, choice: Choice, shortcut: Tensor | None = None) -> Tensor:
        """A new output: computed sites, and the constant at the others; ``shortcut`` comes before the ReLU."""
        sites = sites_of(choice.policy)
        if sites.count == choice.policy.numel():
            return self.everywhere(x, shortcut=shortcut)
        return self.prepared(x, sites, self.room(x), shortcut)

    def add(self, change: Tensor, choice: Choice, before: Tensor, known: Tensor | None) -> Tensor:
        """The norm is a scale and a shift per channel, so the change of its output is the folded convolution's."""
        before = channels_last(before)
        if known is not None:
            before = channels_last(torch.where(known[:, None, None, None], before, self.start(before.shape)))
        return self.prepared(change, sites_of(choice.policy), before.clone(memory_format=torch.preserve_format), before)

    def kept(self, out: Tensor, policy: Tensor | None = None) -> dict[str, Tensor]:
        """What :meth:`update` needs on the next frame: of a dense one (no ``policy``) no site is skipped."""
        shape = (len(out), *out.shape[2:])
        return {"out": out, "policy": all_sites(shape, out.device).policy if policy is None else policy}

    # ----------------------------------------------------------------------------------------------------------------

    def start(self, shape: tuple[int, int, int, int]) -> Tensor:
        """The output (N, C_out, H_out, W_out) of an input of zeros, to which changes add up."""
        bias = self.skipped.to(self.dtype) if self.bias is None else self.bias
        return channels_last(bias[:, None, None].expand(shape))

    def room(self, x: Tensor) -> Tensor:
        """Memory for a new output, channels last."""
        return torch.empty(self.output_shape(x), dtype=x.dtype, device=x.device, memory_format=CHANNELS_LAST)

    def output_shape(self, x: Tensor) -> tuple[int, int, int, int]:
        """(N, C_out, H_out, W_out)."""
        (stride, padding, dilation, _), kernel = self.geometry, self.weight.shape[2:]
        size = ((x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
        return (x.shape[0], self.weight.shape[0], *size)


class WeightCache:
    """The packed form of a layer's weights, made when it is first needed; it is neither saved nor copied with a layer.

    Attributes:
        conv: what is held, None if nothing is.
    """

    def __init__(self):
        self.conv: PackedConv | None = None

    def __reduce__(self) -> tuple:
        return WeightCache, ()

    def of(self, layer: nn.Conv2d, x: Tensor, norm: nn.Module, relu: bool, **options) -> PackedConv:
        """The executor for inputs like ``x``, made anew when weights or norm have changed.

        Args:
            layer, x, norm, relu, options: as for :class:`PackedConv`.
        """
        stamp = PackedConv.stamp(layer, x, norm, relu)
        if self.conv is None or self.conv.stamp_of_weights != stamp:
            self.conv = PackedConv(layer, x, norm, relu, **options)
            self.conv.stamp_of_weights = stamp
        return self.conv


def channels_last(x: Tensor) -> Tensor:
    """``x`` in the memory format of the kernels."""
    return x.contiguous(memory_format=CHANNELS_LAST)


@lru_cache(maxsize=32)
def all_sites(shape: tuple[int, int, int], device: torch.device) -> "ops.Sites":
    """Every site of a map (N, H, W)."""
    from .... import ops

    return ops.Sites.from_policy(torch.full(shape, COMPUTE, dtype=torch.uint8, device=device))


def working_type(x: Tensor) -> torch.dtype:
    """The type that a convolution of ``x`` computes in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x.dtype
