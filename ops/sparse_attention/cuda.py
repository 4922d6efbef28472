"""Sparse attention on tensor cores (csrc/cuda): which calls it takes, and how it is called."""

import torch
from torch import Tensor

from ..library import uses_cuda_kernels


def takes(q: Tensor, v: Tensor, heads: int) -> bool:
    """Return whether the CUDA kernel computes this: 16-bit types, 32, 64 or 128 channels per head, all alike."""
    if q.device.type != "cuda" or q.dtype not in (torch.bfloat16, torch.float16) or not uses_cuda_kernels():
        return False
    return q.shape[1] == v.shape[1] and q.shape[1] // heads in (32, 64, 128)


def run(q, k, v, heads, scale, blocks, labels, objects):
    """Return output (B, heads*D, T, H, W), log-sum-exp (B, heads, T, H, W), affinity (B, heads, O, T, H, W)."""
    batch, size, cells = q.shape[0], tuple(q.shape[2:]), q[0, 0].numel()
    rows = [t.permute(0, 2, 3, 4, 1).flatten(1, 3).contiguous() for t in (q, k, v)]
    out = torch.empty_like(rows[2])
    state = q.new_empty(batch, heads, cells, 2, dtype=torch.float32)
    sums = torch.empty_like(out, dtype=torch.float32) if len(blocks) > 1 and not blocks[0].last else None
    affinity = q.new_zeros(batch, heads, objects, cells, dtype=torch.float32)
    flat = labels.flatten(1).to(torch.int32).contiguous() if objects else None
    for some in blocks:
        sizes = [*size, heads, some.rule, *some.radius, some.first, some.last]
        torch.ops.vosplug_cuda.attention_blocks(
            *rows, scale, some.q_index, some.k_index, flat, sizes, out, sums, state, affinity if objects else None
        )
    maps = out.unflatten(1, size).permute(0, 4, 1, 2, 3)
    return maps, state[..., 0].unflatten(2, size).contiguous(), affinity.unflatten(3, size)
