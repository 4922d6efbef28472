"""Public functions of the sparse convolution."""

from collections.abc import Sequence

from torch import Tensor

from . import op
from .sites import Sites

_Pair = int | Sequence[int]


def triple_sparse_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, policy: Tensor | Sites, prev_out: Tensor | None,
    stride: _Pair = 1, padding: _Pair = 0, dilation: _Pair = 1, groups: int = 1, activation: str | None = None,
) -> Tensor:  # fmt: skip
    """Triple sparse convolution (SpVOS, Eq. 8): per output site zero, the previous output, or the convolution.

    Differentiable in ``x``, ``weight``, ``bias`` and ``prev_out``; not in ``policy``.

    Args:
        x: (B, C_in, H, W), any strides; channels_last is fastest. float32, bfloat16, float16 or float64.
        weight: (C_out, C_in/groups, kh, kw).
        bias: (C_out,) or None.
        policy: (B, H_out, W_out) uint8, 0 zero, 1 reuse, 2 compute; or ``Sites``, made once for several layers.
        prev_out: (B, C_out, H_out, W_out), or None where no site reuses.
        stride, padding, dilation: whole numbers, or pairs (vertical, horizontal).
        groups: divisor of both channel counts.
        activation: None or ``"relu"``, applied to computed sites (a previous output has it already).

    Returns:
        (B, C_out, H_out, W_out), in the memory format of ``x``. Values of ``x`` that no computed site reads, and of
        ``prev_out`` that no site reuses, have no influence, even if they are NaN.

    Raises:
        ValueError: an argument has the wrong type, shape, dtype or device.
        RuntimeError: a policy value above 2, or reuse without ``prev_out``.
    """
    args = op.prepare(x, weight, bias, policy, prev_out, None, stride, padding, dilation, groups, activation)
    return op.sparse_conv2d(*args)


def static_sparse_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, policy: Tensor | Sites,
    stride: _Pair = 1, padding: _Pair = 0, dilation: _Pair = 1, groups: int = 1, activation: str | None = None,
) -> Tensor:  # fmt: skip
    """Static sparse convolution, a baseline of SpVOS: sites with policy 0 are zero, sites with policy 2 computed.

    Arguments, result and errors as in :func:`triple_sparse_conv2d`; a site with policy 1 is an error.
    """
    args = op.prepare(x, weight, bias, policy, None, None, stride, padding, dilation, groups, activation)
    return op.sparse_conv2d(*args)


def residual_sparse_conv2d(
    x: Tensor, x_prev: Tensor, weight: Tensor, policy: Tensor | Sites, prev_out: Tensor,
    stride: _Pair = 1, padding: _Pair = 0, dilation: _Pair = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Residual sparse convolution, a baseline of SpVOS (Skip-Convolution): ``prev_out + conv(x - x_prev)`` at sites
    with policy 2, ``prev_out`` at sites with policy 1, zero at sites with policy 0.

    The convolution is linear, so ``prev_out`` already has the bias and must be taken before any activation.

    Args:
        x, x_prev: (B, C_in, H, W), this frame's and the previous frame's input.
        prev_out: (B, C_out, H_out, W_out).
        weight, policy, stride, padding, dilation, groups: as in :func:`triple_sparse_conv2d`.
    """
    if x_prev is None or prev_out is None:
        raise ValueError("x_prev and prev_out: the residual form needs both, got None")
    args = op.prepare(x, weight, None, policy, prev_out, x_prev, stride, padding, dilation, groups, None)
    return op.sparse_conv2d(*args)
