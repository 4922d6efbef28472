"""Convolutions packed ahead of time: the shortest way from features to features in inference."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils.flop_counter import register_flop_formula

from .. import checks
from ..library import has_extension
from . import cuda, op
from .indexed import sparse_conv2d_indexed_
from .pack import COMPACT, DEPTHWISE, RELU, pack_weights, plan_of
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


class PreparedConv2d:
    """A convolution packed once for one dtype, for inference; its weights are fixed from then on.

    Call it with this frame's input, the sites, and the buffer that holds the previous output: the buffer is updated in
    place and returned. Computed sites get ``act(conv(x) + shortcut)``, sites of policy 0 ``act(skipped + shortcut)``;
    the shortcut is optional.

    Attributes:
        packed: the weights as the compiled kernels read them; None where PyTorch code or CUDA runs.
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
            flags = RELU * self.relu | DEPTHWISE * self.packed.depthwise
            geometry = (self.stride, self.padding, self.dilation, groups)
            self._plan, self._rows_plan = (plan_of(self.weight, *geometry, flags | more) for more in (0, COMPACT))

    def __call__(self, x: Tensor, sites: Sites | Tensor, out: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Update ``out`` (B, C_out, H_out, W_out) in place from ``x`` (B, C_in, H, W) at ``sites``; return it.

        A policy (B, H_out, W_out) that only one layer uses can be given as it is: its sites are found on the way.
        ``shortcut`` (shape of ``out``) is added before the activation wherever a site is computed or skipped.
        """
        _refuse_gradients(x, out, *(() if shortcut is None else (shortcut,)))
        given = isinstance(sites, Sites)
        policy = sites.policy if given else check_policy(sites)
        self._check(x, policy, out, shortcut)
        geometry, relu = (self.stride, self.padding, self.dilation), self.relu and shortcut is None
        if cuda.takes(x, self.weight, self.groups, None):
            cuda.sparse_conv2d_cuda_(x, self.weight, self.bias, policy, None, out, *geometry, relu)
        elif self.packed is not None:
            lists = sites.lists(with_tiles=self.packed.winograd is not None) if given else (None, None, None)
            self._call(x, policy, lists, out, shortcut, self._plan)
            return out
        else:
            index = (sites if given else Sites.from_policy(policy)).index
            sparse_conv2d_indexed_(
                x, self.weight, self.bias, policy, index, out, *geometry, self.groups, relu, None
            )  # fmt: skip
        self._finish(policy, out, shortcut)
        return out

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

    def _check(self, x: Tensor, policy: Tensor, out: Tensor, shortcut: Tensor | None) -> None:
        """Raise ValueError unless types, channels and sizes are those of this layer."""
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

    def _call(self, x, policy: Tensor, lists: tuple, out: Tensor, shortcut: Tensor | None, plan: Tensor) -> None:
        p = self.packed
        skipped = None if shortcut is None and self._skips_to_zero else self._skipped
        torch.ops.vosplug_cpu.sparse_conv2d(
            x, None, p.weight, p.winograd, p.bias, policy, *lists, None, shortcut, skipped, out, plan
        )

    def _finish(self, policy: Tensor, out: Tensor, shortcut: Tensor | None) -> None:
        """Skipped sites, the shortcut and the activation behind it, where no kernel has seen to them."""
        rows = out.permute(0, 2, 3, 1)  # a view
        for kind in (ZERO, COMPUTE) if shortcut is not None else (ZERO,) if not self._skips_to_zero else ():
            here = policy == kind
            value = rows[here] if kind == COMPUTE else self.skipped
            value = value if shortcut is None else value + shortcut.permute(0, 2, 3, 1)[here]
            rows[here] = value.relu() if self.relu else value


@register_flop_formula(torch.ops.vosplug_cpu.sparse_conv2d, get_raw=True) if has_extension() else lambda f: f
def _(x, x_prev, weight, winograd, bias, policy, s, t, b, prev, residual, skipped, out, plan, out_val=None):
    kh, kw, *_, groups, c_in, c_out, _ = plan.tolist()
    return 2 * op._count(policy) * c_out * (c_in // groups) * kh * kw
