"""The sparse convolution on tensor cores (csrc/cuda): which calls it takes, and how it is called."""

import torch
from torch import Tensor

from ..library import uses_cuda_kernels


def takes(x: Tensor, weight: Tensor, groups: int, x_prev: Tensor | None) -> bool:
    """Return whether the CUDA kernel computes this: 16-bit types, one group, channels in eights, no residual form."""
    if x.device.type != "cuda" or x.dtype not in (torch.bfloat16, torch.float16) or not uses_cuda_kernels():
        return False
    return groups == 1 and x_prev is None and weight.shape[0] % 8 == 0 and weight.shape[1] % 8 == 0


def sparse_conv2d_cuda_(x, weight, bias, policy, prev_out, out, stride, padding, dilation, relu) -> Tensor:
    """Write the new output to ``out``, which holds the previous one where ``prev_out`` is None; return it.

    The number of active sites stays on the device, so nothing waits. Weights and maps in channels_last are read where
    they are, others are copied.
    """
    last = {"memory_format": torch.channels_last}
    target = out.contiguous(**last)
    rows = [None if t is None else t.contiguous(**last).permute(0, 2, 3, 1) for t in (x, prev_out, target)]
    packed = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1, weight.shape[1]).contiguous()
    flat = x.new_zeros(weight.shape[0], dtype=torch.float32) if bias is None else bias.float().contiguous()
    geometry = [*weight.shape[2:], *stride, *padding, *dilation]
    torch.ops.vosplug_cuda.sparse_conv2d(rows[0], packed, flat, policy, rows[1], rows[2], geometry, relu)
    return out if target.data_ptr() == out.data_ptr() else out.copy_(target)
