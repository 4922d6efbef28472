"""Sparse convolution by index and matrix product: for where the compiled kernels do not run, and for gradients."""

import torch
from torch import Tensor

from .sites import COMPUTE, REUSE, ZERO

# Columns are made for this many values at a time, so that memory stays bounded whatever the density.
_COLUMN_VALUES = 1 << 25


def rows_of(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B*H*W, C); a view for channels_last, else a copy."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class Taps:
    """For active sites, which input rows they read: ``index`` (M, taps) and the positions that lie outside."""

    def __init__(self, index: Tensor, in_size, out_size, kernel, stride, padding, dilation) -> None:
        height, width = in_size
        plane = out_size[0] * out_size[1]
        batch, rest = index.div(plane, rounding_mode="floor"), index.remainder(plane)
        y, x = rest.div(out_size[1], rounding_mode="floor"), rest.remainder(out_size[1])
        device = index.device
        tap_y = torch.arange(kernel[0], device=device).repeat_interleave(kernel[1]) * dilation[0] - padding[0]
        tap_x = torch.arange(kernel[1], device=device).repeat(kernel[0]) * dilation[1] - padding[1]
        rows, columns = y[:, None] * stride[0] + tap_y, x[:, None] * stride[1] + tap_x
        self.outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
        rows, columns = rows.clamp_(0, height - 1), columns.clamp_(0, width - 1)
        self.index = (batch[:, None] * height + rows) * width + columns

    def columns(self, source: Tensor, minus: Tensor | None) -> Tensor:
        """Rows of ``source`` (B*H*W, C) as (M, taps, C), zeros outside."""
        flat = self.index.reshape(-1)
        picked = source.index_select(0, flat)
        if minus is not None:
            picked = picked - minus.index_select(0, flat)
        picked.index_fill_(0, self.outside.reshape(-1).nonzero().squeeze(1), 0.0)
        return picked.reshape(*self.index.shape, source.shape[1])


def _chunks(index: Tensor, taps: int, channels: int):
    return index.long().split(max(1, _COLUMN_VALUES // max(1, taps * channels))) if index.numel() else ()


def _per_group(weight: Tensor, groups: int) -> Tensor:
    """(C_out, C_in/groups, kh, kw) -> (groups, taps*C_in/groups, C_out/groups)."""
    out_channels, group_in, kh, kw = weight.shape
    ordered = weight.permute(0, 2, 3, 1).reshape(groups, out_channels // groups, kh * kw * group_in)
    return ordered.transpose(1, 2)


def _grouped(columns: Tensor, groups: int) -> Tensor:
    """(M, taps, C_in) -> (groups, M, taps*C_in/groups)."""
    sites, taps, channels = columns.shape
    split = columns.reshape(sites, taps, groups, channels // groups)
    return split.permute(2, 0, 1, 3).reshape(groups, sites, -1)


def _product(columns: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """(M, K) x (K, N) + (N,). oneDNN's float32 product uses AVX-512 on the CPUs of every maker, unlike MKL's."""
    if columns.device.type == "cpu" and columns.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(columns, matrix.t(), bias, "none", [], "")
    return columns @ matrix if bias is None else torch.addmm(bias, columns, matrix)


def sparse_conv2d_indexed_(
    x, weight, bias, policy, index, out, stride, padding, dilation, groups, relu, x_prev
) -> None:
    """Update ``out`` (B, C_out, H_out, W_out), which holds the previous output, in place: zero, keep or compute.

    ``index`` (M,) are the sites with policy 2. Needs no dense convolution: the rows that the active sites read are
    gathered and multiplied by the weights.
    """
    flat_policy = policy.reshape(-1)
    direct = out.is_contiguous(memory_format=torch.channels_last)
    target = rows_of(out) if direct else out.permute(0, 2, 3, 1).contiguous().reshape(-1, out.shape[1])
    target.index_fill_(0, (flat_policy == ZERO).nonzero().squeeze(1), 0.0)
    source, minus = rows_of(x), None if x_prev is None else rows_of(x_prev)
    matrix = _per_group(weight, groups)
    for part in _chunks(index, weight.shape[2] * weight.shape[3], x.shape[1]):
        taps = Taps(part, x.shape[2:], out.shape[2:], weight.shape[2:], stride, padding, dilation)
        columns = taps.columns(source, minus)
        if groups == 1:
            flat = columns.flatten(1)
            result = _product(flat, matrix[0], bias)
        else:
            product = _grouped(columns, groups) @ matrix
            result = product.transpose(0, 1).reshape(part.numel(), out.shape[1])
            result = result if bias is None else result + bias
        if x_prev is not None:
            result = result + target.index_select(0, part)
        target.index_copy_(0, part, result.relu_() if relu else result)
    if not direct:
        out.copy_(target.reshape(out.shape[0], *out.shape[2:], out.shape[1]).permute(0, 3, 1, 2))


def sparse_conv2d_backward_indexed(grad, x, weight, index, stride, padding, dilation, groups, x_prev):
    """Gradients of input, weight and bias where only the sites ``index`` (M,) carry a gradient (``grad``, dense).

    Sums run in float32 for the 16-bit types. Work is proportional to M.
    """
    compute = torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
    source, minus = rows_of(x).to(compute), None if x_prev is None else rows_of(x_prev).to(compute)
    grads = rows_of(grad)
    matrix = _per_group(weight.to(compute), groups)
    grad_rows, grad_matrix = torch.zeros_like(source), torch.zeros_like(matrix)
    grad_bias = torch.zeros(weight.shape[0], dtype=compute, device=x.device)
    for part in _chunks(index, weight.shape[2] * weight.shape[3], x.shape[1]):
        taps = Taps(part, x.shape[2:], grad.shape[2:], weight.shape[2:], stride, padding, dilation)
        out_grad = grads.index_select(0, part).to(compute)
        grad_bias += out_grad.sum(0)
        split = out_grad.reshape(part.numel(), groups, -1).transpose(0, 1)
        grad_matrix += _grouped(taps.columns(source, minus), groups).transpose(1, 2) @ split
        back = (split @ matrix.transpose(1, 2)).reshape(groups, part.numel(), taps.index.shape[1], -1)
        back = back.permute(1, 2, 0, 3).reshape(-1, x.shape[1])
        back.index_fill_(0, taps.outside.reshape(-1).nonzero().squeeze(1), 0.0)
        grad_rows.index_add_(0, taps.index.reshape(-1), back)
    grad_x = grad_rows.reshape(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
    out_channels, group_in, kh, kw = weight.shape
    grad_weight = grad_matrix.transpose(1, 2).reshape(out_channels, kh, kw, group_in).permute(0, 3, 1, 2)
    return grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype)


def check_no_reuse(policy: Tensor) -> None:
    """Raise RuntimeError if a site reuses an output that was not given (on the CPU only: elsewhere it gives zeros)."""
    if policy.device.type == "cpu" and bool((policy == REUSE).any()):
        raise RuntimeError("prev_out: expected the previous output, as policy has sites with 1 (reuse); got None")


def active_index(policy: Tensor) -> Tensor:
    """(M,) positions of the sites with policy 2."""
    return (policy.reshape(-1) == COMPUTE).nonzero().squeeze(1)
