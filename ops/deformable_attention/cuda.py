"""Resampling on the GPU (csrc/cuda): rows as the projections read them, instead of maps that are turned into rows."""

import torch
from torch import Tensor

from ..library import uses_cuda_kernels

_ENABLED = uses_cuda_kernels()  # a constant, so that torch.compile sees one branch


def takes(x: Tensor, offsets: Tensor) -> bool:
    """Return whether the CUDA kernel samples this: inference, channels per group in eights, not float64."""
    grad = torch.is_grad_enabled() and (x.requires_grad or offsets.requires_grad)
    kind = x.device.type == "cuda" and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
    return _ENABLED and kind and not grad and x.shape[1] % (8 * offsets.shape[1]) == 0


@torch.library.custom_op("vosplug::deformable_sample_rows", mutates_args=())
def deformable_sample_rows(x: Tensor, offsets: Tensor) -> Tensor:
    """x (B, C, H, W), offsets (B, S, 2, H_g, W_g) in pixels -> (B, H_g*W_g, C).

    ``takes`` tells whether it may be called.
    """
    out = x.new_empty(x.shape[0], offsets.shape[3] * offsets.shape[4], x.shape[1])
    rows = x.permute(0, 2, 3, 1).contiguous()
    torch.ops.vosplug_cuda.deformable_sample(rows, offsets.float().contiguous(), out)
    return out


@deformable_sample_rows.register_fake
def _(x, offsets):
    return x.new_empty(x.shape[0], offsets.shape[3] * offsets.shape[4], x.shape[1])
