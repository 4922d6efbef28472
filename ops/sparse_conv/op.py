"""The sparse convolution as a torch operator: checks, choice of the kernel, gradients, fake kernel, FLOP count."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.utils.flop_counter import register_flop_formula

from .. import checks
from ..library import has_dense_kernels, has_extension, no_second_derivative
from . import cuda
from .cache import dense_conv2d, packed_for
from .indexed import (
    active_index,
    check_no_reuse,
    sparse_conv2d_backward_indexed,
    sparse_conv2d_indexed_,
)
from .pack import DEPTHWISE, RELU, PackedWeights, plan_of
from .sites import COMPUTE, REUSE, ZERO, Sites, check_policy, check_values

_KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# Above this density a new output is made by the dense convolution (tools/benchmark_ops.py --sweep). The Winograd kernel
# beats it at every density, and so does the direct kernel where it multiplies long rows.
BREAK_EVEN = 0.92
BREAK_EVEN_SHORT_ROWS = 0.97  # pointwise layers in 16 bit whose rows have fewer channels than this:
SHORT_ROW = 512
_BACKWARD_BREAK_EVEN = 0.4


def break_even(weight: Tensor) -> float:
    """Return the density above which a layer of this weight (C_out, C_in/groups, kh, kw) falls back to dense.

    Short rows in 16 bit leave it nothing to hide its overhead behind; other pointwise layers never fall back (1), nor
    do 16-bit types for which oneDNN has no convolution on this processor.
    """
    if not has_dense_kernels(weight.dtype):
        return 1.0
    if weight.shape[2] * weight.shape[3] > 1:
        return BREAK_EVEN
    return BREAK_EVEN_SHORT_ROWS if weight.dtype != torch.float32 and weight.shape[1] < SHORT_ROW else 1.0


def runs_compiled(x: Tensor) -> bool:
    """Return whether the compiled CPU kernels take this input."""
    return x.device.type == "cpu" and x.dtype in _KERNEL_DTYPES and has_extension()


def _out_size(x: Tensor, weight: Tensor, stride, padding, dilation) -> list[int]:
    return [
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    ]


def _empty_output(x: Tensor, weight: Tensor, policy: Tensor) -> Tensor:
    size = (x.shape[0], weight.shape[0], policy.shape[1], policy.shape[2])
    plain = min(x.shape[1:]) > 1 and x.is_contiguous(memory_format=torch.channels_last)  # the quick answer
    memory_format = torch.channels_last if plain else suggest_memory_format(x)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_format)


def _densest(packed: PackedWeights, weight: Tensor) -> float:
    """Density above which the dense convolution is faster."""
    if packed.depthwise:
        return 0.5 if has_dense_kernels(weight.dtype) else 1.0
    return break_even(weight) if packed.winograd is None else 1.0


def _by_index(x, weight, bias, policy, prev_out, x_prev, index, geometry, relu) -> Tensor:
    """A new output by PyTorch code."""
    if index is None:
        check_values(policy)  # the compiled code does so while it finds or counts the sites
        index = active_index(policy)
    out = _empty_output(x, weight, policy)
    out.zero_() if prev_out is None else out.copy_(prev_out)
    sparse_conv2d_indexed_(x, weight, bias, policy, index, out, *geometry, relu, x_prev)
    return out


def _compiled(x, weight, bias, policy, prev_out, x_prev, index, tiles, bits, geometry, relu) -> Tensor:
    """A new output by the compiled kernels, or by the dense convolution where nearly all sites are computed."""
    stride, _, dilation, groups = geometry
    packed = packed_for(weight, bias, stride, dilation, groups)
    sparse_conv2d = torch.ops.vosplug_cpu.sparse_conv2d
    common = (packed.weight, packed.winograd, packed.bias, policy)
    limit = 1.0 if x_prev is not None else _densest(packed, weight)
    count = 0 if limit == 1.0 else torch.ops.vosplug_cpu.active_count(policy) if index is None else index.numel()
    if count > limit * policy.numel():
        dense = dense_conv2d(x, weight, bias, geometry, relu)
        if count < policy.numel():
            plan = plan_of(weight, *geometry, DEPTHWISE * packed.depthwise)
            none = policy.new_empty(0, dtype=torch.int32)
            sparse_conv2d(x, None, *common, none, None, None, prev_out, None, None, dense, plan)
        return dense
    out = _empty_output(x, weight, policy)
    plan = plan_of(weight, *geometry, RELU * relu | DEPTHWISE * packed.depthwise)
    residual = prev_out if x_prev is not None else None
    sparse_conv2d(x, x_prev, *common, index, tiles, bits, prev_out, residual, None, out, plan)
    return out


@torch.library.custom_op("vosplug::sparse_conv2d", mutates_args=())
def sparse_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, policy: Tensor, prev_out: Tensor | None,
    x_prev: Tensor | None, index: Tensor | None, tiles: Tensor | None, tile_bits: Tensor | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int, relu: bool,
) -> Tensor:  # fmt: skip
    """Operator behind the functions of this package; arguments are checked by them."""
    if prev_out is None:
        check_no_reuse(policy)
    geometry = (stride, padding, dilation, groups)
    if cuda.takes(x, weight, groups, x_prev):
        out = _empty_output(x, weight, policy)
        out = out.zero_() if prev_out is None else out
        return cuda.sparse_conv2d_cuda_(x, weight, bias, policy, prev_out, out, *geometry[:3], relu)
    if not runs_compiled(x):
        return _by_index(x, weight, bias, policy, prev_out, x_prev, index, geometry, relu)
    return _compiled(x, weight, bias, policy, prev_out, x_prev, index, tiles, tile_bits, geometry, relu)


@sparse_conv2d.register_fake
def _(x, weight, bias, policy, prev_out, x_prev, index, tiles, tile_bits, stride, padding, dilation, groups, relu):
    return _empty_output(x, weight, policy)


@torch.library.custom_op("vosplug::sparse_conv2d_backward", mutates_args=())
def sparse_conv2d_backward(
    grad: Tensor, x: Tensor, weight: Tensor, policy: Tensor, x_prev: Tensor | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of input, weight and bias; ``grad`` is zero at sites that were not computed."""
    index = active_index(policy)
    if index.numel() <= _BACKWARD_BREAK_EVEN * policy.numel():
        grads = sparse_conv2d_backward_indexed(grad, x, weight, index, stride, padding, dilation, groups, x_prev)
    else:
        data = x if x_prev is None else x - x_prev
        size = [weight.shape[0]]
        grads = torch.ops.aten.convolution_backward(
            grad, data, weight, size, stride, padding, dilation, False, [0, 0], groups, [True, True, True]
        )
    return grads[0].contiguous(), grads[1].contiguous(), grads[2].contiguous()


no_second_derivative(sparse_conv2d_backward, "the sparse convolution")


@sparse_conv2d_backward.register_fake
def _(grad, x, weight, policy, x_prev, stride, padding, dilation, groups):
    return x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape[:1])


def _setup_context(ctx, inputs, output):
    x, weight, _, policy, prev_out, x_prev, _, _, _, *geometry = inputs
    ctx.stride, ctx.padding, ctx.dilation, ctx.groups, ctx.relu = geometry
    ctx.save_for_backward(x, weight, policy, x_prev, output if ctx.relu else None)
    ctx.has_prev = prev_out is not None


def _backward(ctx, grad):
    x, weight, policy, x_prev, out = ctx.saved_tensors
    kind = policy[:, None]
    active = torch.where(kind == COMPUTE, grad, 0.0)
    if out is not None:
        active = torch.where(out > 0, active, 0.0)
    grads = (None, None, None)
    if any(ctx.needs_input_grad[i] for i in (0, 1, 2, 5)):
        grads = torch.ops.vosplug.sparse_conv2d_backward(
            active, x, weight, policy, x_prev, ctx.stride, ctx.padding, ctx.dilation, ctx.groups
        )
    previous = None
    if ctx.has_prev:
        # The residual form adds the previous output where it computes; zeroed sites never pass a gradient.
        previous = torch.where(kind == ZERO, 0.0, grad) if x_prev is not None else torch.where(kind == REUSE, grad, 0.0)
    before = None if x_prev is None or grads[0] is None else -grads[0]
    bias = grads[2] if ctx.needs_input_grad[2] else None
    return grads[0], grads[1], bias, None, previous, before, *(None,) * 8


sparse_conv2d.register_autograd(_backward, setup_context=_setup_context)


def _count(policy: Tensor) -> int:
    try:
        return int((policy == COMPUTE).sum())
    except RuntimeError:  # a fake tensor has no values: count every site
        return policy.numel()


def _conv_flops(weight, sites: int) -> int:
    out_channels, group_in, kh, kw = weight.shape
    return 2 * sites * out_channels * group_in * kh * kw


@register_flop_formula(torch.ops.vosplug.sparse_conv2d, get_raw=True)
def _(x, weight, bias, policy, *args, out_val=None, **kwargs) -> int:
    return _conv_flops(weight, _count(policy))


@register_flop_formula(torch.ops.vosplug.sparse_conv2d_backward, get_raw=True)
def _(grad, x, weight, policy, *args, out_val=None, **kwargs) -> int:
    return 2 * _conv_flops(weight, _count(policy))


def prepare(x, weight, bias, policy, prev_out, x_prev, stride, padding, dilation, groups, activation):
    """Check the arguments of a public function and return those of the operator, in its order.

    Under autocast the float arguments are cast to its dtype, as a dense convolution's are.

    Raises:
        ValueError: naming the argument, what came and what was expected.
    """
    if activation not in (None, "relu"):
        raise ValueError(f"activation: expected None or 'relu', got {activation!r}")
    checks.tensor(x, "x", 4)
    cast = checks.autocast_dtype(x.device.type)
    if cast is not None and x.dtype != torch.float64:
        x, weight = x.to(cast), weight.to(cast)
        bias, prev_out, x_prev = (None if t is None else t.to(cast) for t in (bias, prev_out, x_prev))
    checks.tensor(weight, "weight", 4, like=x)
    if bias is not None:
        checks.tensor(bias, "bias", 1, like=x)
        checks.shape(bias, "bias", weight.shape[:1], "(C_out,)")
    stride, padding = checks.pair(stride, "stride", 1), checks.pair(padding, "padding", 0)
    dilation = checks.pair(dilation, "dilation", 1)
    if not isinstance(groups, int) or groups < 1 or x.shape[1] % groups or weight.shape[0] % groups:
        raise ValueError(f"groups: expected a divisor of C_in {x.shape[1]} and C_out {weight.shape[0]}, got {groups}")
    if weight.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"weight: expected (C_out, C_in/groups, kh, kw) with C_in/groups = {x.shape[1] // groups}, "
            f"got {tuple(weight.shape)}"
        )
    sites = policy if isinstance(policy, Sites) else None
    policy = sites.policy if sites else check_policy(policy)
    if policy.device != x.device:
        raise ValueError(f"policy: expected the device {x.device} of the input, got {policy.device}")
    height, width = _out_size(x, weight, stride, padding, dilation)
    if height < 1 or width < 1:
        raise ValueError(f"x: {tuple(x.shape[2:])} is smaller than the kernel {tuple(weight.shape[2:])} needs")
    checks.shape(policy, "policy", (x.shape[0], height, width), "(B, H_out, W_out)")
    if prev_out is not None:
        checks.tensor(prev_out, "prev_out", 4, like=x)
        checks.shape(prev_out, "prev_out", (x.shape[0], weight.shape[0], height, width), "(B, C_out, H_out, W_out)")
    if x_prev is not None:
        checks.tensor(x_prev, "x_prev", 4, like=x)
        checks.shape(x_prev, "x_prev", x.shape, "(B, C_in, H, W)")
    lists = sites.lists(with_tiles=weight.shape[2:] == (3, 3)) if sites else (None, None, None)
    return (x, weight, bias, policy, prev_out, x_prev, *lists, stride, padding, dilation, groups, activation == "relu")
