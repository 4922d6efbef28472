"""Convolutions and blocks packed ahead of time: the shortest way from features to features in inference."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils.flop_counter import register_flop_formula

from .. import checks
from ..direct import direct_calls
from ..library import has_extension
from . import cuda, op
from .indexed import sparse_conv2d_indexed_
from .pack import COMPACT, DEPTHWISE, RELU, PackedWeights, pack_weights, plan_of
from .sites import COMPUTE, ZERO, Sites, check_policy


def fold_batch_norm(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of the convolution that equals ``norm(conv(x))`` in evaluation mode.

    Raises:
        ValueError: ``norm`` keeps no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("norm: expected a batch norm with running statistics, got one without")
    folded = fuse_conv_bn_weights(weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return folded[0].detach(), folded[1].detach()


def _refuse_gradients(*tensors: Tensor) -> None:
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        raise RuntimeError(
            "a prepared convolution has no gradient: call it under torch.no_grad(), or use triple_sparse_conv2d"
        )


_direct = direct_calls()
_update, _bottleneck = (None, None) if _direct is None else (_direct.update, _direct.bottleneck)


class PreparedConv2d:
    """A convolution packed once for one dtype, for inference; its weights are fixed from then on.

    Call it with this frame's input, the sites, and the buffer that holds the previous output: the buffer is updated in
    place and returned. Computed sites get ``act(conv(x) + shortcut)``, sites of policy 0 ``act(skipped + shortcut)``;
    the shortcut is optional.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        activation: str | None = None,
        dtype: torch.dtype | None = None,
        skipped: Tensor | None = None,
    ) -> None:
        """Pack ``weight`` (C_out, C_in/groups, kh, kw) and ``bias`` (C_out,) for inputs of ``dtype`` (or weight's).

        ``skipped`` (C_out,): what a site of policy 0 holds before the activation, such as the norm of a zero; zeros if
        None.
        """
        if activation not in (None, "relu"):
            raise ValueError(f"activation: expected None or 'relu', got {activation!r}")
        dtype = dtype or weight.dtype
        self.weight = weight.detach().to(dtype)
        if weight.device.type == "cuda":
            self.weight = self.weight.contiguous(memory_format=torch.channels_last)  # as the CUDA kernel reads it
        self.bias = None if bias is None else bias.detach().to(dtype)
        if skipped is not None:
            checks.shape(skipped, "skipped", weight.shape[:1], "(C_out,)")
        self.skipped = self.weight.new_zeros(len(weight)) if skipped is None else skipped.detach().to(dtype)
        self._skips_to_zero = not bool((self.skipped.clamp(min=0) if activation else self.skipped).any())
        self.stride, self.padding = checks.pair(stride, "stride", 1), checks.pair(padding, "padding", 0)
        self.dilation, self.groups, self.relu = checks.pair(dilation, "dilation", 1), groups, activation == "relu"
        self._skipped = self.skipped.float().contiguous()
        self._channels = (weight.shape[1] * groups, weight.shape[0])
        shape = (*weight.shape[2:], *self.stride, *self.padding, groups)
        self._pointwise = shape == (1, 1, 1, 1, 0, 0, 1)
        self.packed = None
        if weight.device.type == "cpu" and dtype in op._KERNEL_DTYPES and has_extension():
            self.packed = pack_weights(
                self.weight, self.bias, stride=self.stride, dilation=self.dilation, groups=groups, dtype=dtype
            )

    @property
    def packed(self) -> PackedWeights | None:
        """The weights as the compiled kernels read them; None where PyTorch code or CUDA runs."""
        return self._packed

    @packed.setter
    def packed(self, packed: PackedWeights | None) -> None:
        self._packed, self._layer = packed, None  # the layer as the direct call wants it
        if packed is None:
            return
        flags = RELU * self.relu | DEPTHWISE * packed.depthwise
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        self._plan, self._rows_plan = (plan_of(self.weight, *geometry, flags | more) for more in (0, COMPACT))
        if _direct is not None:
            tensors = (packed.weight, packed.winograd, packed.bias, self._skipped, self._plan)
            self._layer = _direct.layer(self.weight, *tensors, self._skips_to_zero)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_layer": None}  # addresses in this process

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.packed = self._packed

    def __call__(self, x: Tensor, sites: Sites | Tensor, out: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Update ``out`` (B, C_out, H_out, W_out) in place from ``x`` (B, C_in, H, W) at ``sites``; return it.

        A policy (B, H_out, W_out) that only one layer uses can be given as it is: its sites are found on the way.
        ``shortcut`` (shape of ``out``) is added before the activation wherever a site is computed or skipped.
        """
        if self._layer is not None and not is_dynamo_compiling():
            try:  # the kernel sees to its arguments itself
                if type(sites) is Sites:
                    if _update(self._layer, x, out, shortcut, *self._lists(sites)):
                        return out
                elif _update(self._layer, x, out, shortcut, sites, None, None, None):
                    return out
            except (RuntimeError, TypeError):
                pass  # told in plain words below, or a policy that has to be copied
        return self._carefully(x, sites, out, shortcut)

    def from_rows(self, rows: Tensor, sites: Sites, out: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """The same for a 1x1 layer whose inputs at the computed sites lie side by side, in the order of the sites.

        Args:
            rows: (M, C_in), with an even C_in where it has 16 bit.
            sites, out, shortcut: as above.

        Raises:
            ValueError: the layer is not 1x1 with one group, stride 1 and no padding, or the rows do not fit.
        """
        expected = (sites.count, self._channels[0])
        if not self._pointwise:
            raise ValueError("from_rows: expected a 1x1 convolution of one group with stride 1 and no padding")
        if tuple(rows.shape) != expected or rows.dtype != self.weight.dtype or rows.device != out.device:
            got = f"{rows.dtype} {tuple(rows.shape)}"
            raise ValueError(f"rows: expected {self.weight.dtype} of shape {expected}, got {got}")
        _refuse_gradients(rows, out, *(() if shortcut is None else (shortcut,)))
        if self.packed is not None:
            rows = rows.to(self.packed.weight.dtype).contiguous()
            self._call(rows, sites.policy, (sites.index, None, None), out, shortcut, self._rows_plan)
            return out
        values = F.linear(rows, self.weight.flatten(1), self.bias)
        out.permute(0, 2, 3, 1)[sites.policy == COMPUTE] = values.relu() if self.relu and shortcut is None else values
        self._finish(sites.policy, out, shortcut)
        return out

    def _lists(self, sites: Sites) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return (sites.policy, *sites.lists(with_tiles=self._packed.winograd is not None))

    def _call(self, x, policy: Tensor, lists: tuple, out: Tensor, shortcut: Tensor | None, plan: Tensor) -> None:
        p = self.packed
        skipped = None if shortcut is None and self._skips_to_zero else self._skipped
        torch.ops.vosplug_cpu.sparse_conv2d(
            x, None, p.weight, p.winograd, p.bias, policy, *lists, None, shortcut, skipped, out, plan
        )

    def _carefully(self, x: Tensor, sites: Sites | Tensor, out: Tensor, shortcut: Tensor | None) -> Tensor:
        _refuse_gradients(x, out, *(() if shortcut is None else (shortcut,)))
        given = isinstance(sites, Sites)
        policy = sites.policy if given else check_policy(sites)
        if x.dtype != self.weight.dtype or out.dtype != x.dtype:
            raise ValueError(f"x and out: expected {self.weight.dtype}, got {x.dtype} and {out.dtype}")
        channels, out_channels = self._channels
        expected = (x.shape[0], out_channels, *policy.shape[1:])
        if x.shape[1] != channels or out.shape != expected:
            raise ValueError(
                f"x and out: expected {channels} channels and shape {expected}, "
                f"got {tuple(x.shape)} and {tuple(out.shape)}"
            )
        size = op._out_size(x, self.weight, self.stride, self.padding, self.dilation)
        if list(policy.shape[1:]) != size:
            raise ValueError(f"sites: expected a policy of size {size}, got {list(policy.shape[1:])}")
        if shortcut is not None and (shortcut.dtype != out.dtype or shortcut.shape != out.shape):
            raise ValueError(
                f"shortcut: expected {out.dtype} of shape {expected}, got {shortcut.dtype} {tuple(shortcut.shape)}"
            )
        geometry, relu = (self.stride, self.padding, self.dilation), self.relu and shortcut is None
        if cuda.takes(x, self.weight, self.groups, None):
            cuda.sparse_conv2d_cuda_(x, self.weight, self.bias, policy, None, out, *geometry, relu)
        elif self.packed is not None:
            lists = self._lists(sites)[1:] if given else (None, None, None)
            self._call(x, policy, lists, out, shortcut, self._plan)
            return out
        else:
            index = (sites if given else Sites.from_policy(policy)).index
            sparse_conv2d_indexed_(
                x, self.weight, self.bias, policy, index, out, *geometry, self.groups, relu, None
            )  # fmt: skip
        self._finish(policy, out, shortcut)
        return out

    def _finish(self, policy: Tensor, out: Tensor, shortcut: Tensor | None) -> None:
        """Skipped sites, the shortcut and the activation behind it, where no kernel has seen to them."""
        rows = out.permute(0, 2, 3, 1)  # a view
        for kind in (ZERO, COMPUTE) if shortcut is not None else (ZERO,) if not self._skips_to_zero else ():
            here = policy == kind
            value = rows[here] if kind == COMPUTE else self.skipped
            value = value if shortcut is None else value + shortcut.permute(0, 2, 3, 1)[here]
            rows[here] = value.relu() if self.relu else value


class PreparedBottleneck:
    """Residual bottleneck (1x1, ReLU, 3x3, ReLU, 1x1, plus input, ReLU) with one policy for all three, for inference.

    The output of the 3x3 convolution exists only at active sites. ``hidden`` (output of the first 1x1) and ``out``
    persist between frames and are updated in place, so that the 3x3 reads its neighbours' last known values.
    Batch norms are folded beforehand (``fold_batch_norm``).
    """

    def __init__(self, convs: Sequence[tuple[Tensor, Tensor | None]], dtype: torch.dtype | None = None) -> None:
        """Pack three ``(weight, bias)`` pairs: (P, C, 1, 1), (P, P, 3, 3), (C, P, 1, 1)."""
        if len(convs) != 3:
            raise ValueError(f"convs: expected three (weight, bias) pairs, got {len(convs)}")
        (w1, _), (w2, _), (w3, _) = convs
        channels, planes = w1.shape[1], w1.shape[0]
        expected = [(planes, channels, 1, 1), (planes, planes, 3, 3), (channels, planes, 1, 1)]
        if [tuple(w.shape) for w in (w1, w2, w3)] != expected:
            raise ValueError(f"convs: expected weights {expected}, got {[tuple(w.shape) for w in (w1, w2, w3)]}")
        self.parts = [
            PreparedConv2d(w, b, padding=w.shape[2] // 2, activation="relu" if i < 2 else None, dtype=dtype)
            for i, (w, b) in enumerate(convs)
        ]
        self.compiled = all(part.packed is not None for part in self.parts)
        if self.compiled:
            packed = [part.packed for part in self.parts]
            self._weights, self._biases = [p.weight for p in packed], [p.bias for p in packed]

    def __call__(self, x: Tensor, sites: Sites, hidden: Tensor, out: Tensor) -> Tensor:
        """Update ``hidden`` (B, P, H, W) and ``out`` (B, C, H, W) from ``x`` (B, C, H, W), all channels_last."""
        first, second, third = self.parts
        layers = (first._layer, second._layer, third._layer)
        if None not in layers and not is_dynamo_compiling():
            try:  # the kernel sees to its arguments itself
                if _bottleneck(*layers, x, hidden, out, sites.policy, sites.index, *sites.tiles):
                    return out
            except (RuntimeError, TypeError):
                pass  # told in plain words below
        _refuse_gradients(x, hidden, out)
        planes, channels = self.parts[0].weight.shape[:2]
        size = (x.shape[0], *x.shape[2:])
        dtypes, dtype = (x.dtype, hidden.dtype, out.dtype), self.parts[0].weight.dtype
        if any(got != dtype for got in dtypes):
            raise ValueError(f"x, hidden, out: expected {dtype}, got {dtypes}")
        if x.shape[1] != channels or out.shape != x.shape or hidden.shape != (size[0], planes, *size[1:]):
            raise ValueError(
                f"x, hidden, out: expected channels {channels}, {planes}, {channels} and equal sizes, "
                f"got {tuple(x.shape)}, {tuple(hidden.shape)}, {tuple(out.shape)}"
            )
        checks.shape(sites.policy, "sites", size, "(B, H, W)")
        if self.compiled and all(t.stride(1) == 1 for t in (hidden, out)):
            torch.ops.vosplug_cpu.sparse_bottleneck(
                x, self._weights, self._biases, self.parts[1].packed.winograd, sites.policy, sites.index, *sites.tiles,
                hidden, out, 0,
            )  # fmt: skip
            return out
        return self._plain(x, sites, hidden, out)

    def _plain(self, x: Tensor, sites: Sites, hidden: Tensor, out: Tensor) -> Tensor:
        self.parts[0](x, sites, hidden)
        middle = self.parts[1](hidden, sites, torch.zeros_like(hidden))
        fresh = self.parts[2](middle, sites, torch.zeros_like(out))
        kind = sites.policy[:, None]
        out.copy_(torch.where(kind == COMPUTE, (fresh + x).relu_(), torch.where(kind == 1, out, 0.0)))
        return out


def _flops_of(plan: Tensor, policy: Tensor) -> int:
    kh, kw, *_, groups, c_in, c_out, _ = plan.tolist()
    return 2 * op._count(policy) * c_out * (c_in // groups) * kh * kw


@register_flop_formula(torch.ops.vosplug_cpu.sparse_conv2d, get_raw=True) if has_extension() else lambda f: f
def _(x, x_prev, weight, winograd, bias, policy, s, t, b, prev, residual, skipped, out, plan, out_val=None):
    return _flops_of(plan, policy)


@register_flop_formula(torch.ops.vosplug_cpu.sparse_bottleneck, get_raw=True) if has_extension() else lambda f: f
def _(x, weights, biases, winograd, policy, sites, tiles, bits, hidden, out, flags, out_val=None):
    planes, channels = hidden.shape[1], x.shape[1]
    return 2 * op._count(policy) * (2 * planes * channels + 9 * planes * planes)
