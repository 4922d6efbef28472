"""Sparse attention on tensor cores (csrc/cuda): which calls it takes, and how it is called."""

import struct

import torch
from torch import Tensor

from ..library import uses_cuda_kernels


def takes(q: Tensor, k: Tensor, v: Tensor, heads: int) -> bool:
    """Return whether the CUDA kernel computes this: 16-bit types, 32, 64 or 128 channels per head, all alike."""
    if q.device.type != "cuda" or q.dtype not in (torch.bfloat16, torch.float16) or not uses_cuda_kernels():
        return False
    return q.shape == k.shape == v.shape and q.shape[1] // heads in (32, 64, 128)


def packed(score: float) -> int:
    """A score that has to be exceeded, as the kernel holds scores (attention.cuh), in a signed number."""
    bits = struct.unpack("I", struct.pack("f", score))[0]
    ordered = bits ^ 0xFFFFFFFF if bits >> 31 else bits | 0x80000000
    return (ordered << 32) - ((ordered >> 31) << 64)


def unpacked(best: Tensor) -> tuple[Tensor, Tensor]:
    """Scores, float32, and the cells that have them, int32, -1 for none, of what the kernel gave (int64)."""
    ordered, key = best >> 32 & 0xFFFFFFFF, best & 0xFFFFFFFF
    bits = torch.where(ordered >= 1 << 31, ordered - (1 << 31), 0xFFFFFFFF - ordered)
    return signed(bits).view(torch.float32), torch.where(key == 0, -1, signed(0xFFFFFFFF - key))


def signed(bits: Tensor) -> Tensor:
    """Numbers below 2^32 as int32 of the same bits."""
    return torch.where(bits >= 1 << 31, bits - (1 << 32), bits).to(torch.int32)


def run(q, k, v, heads, scale, blocks, labels, objects, least, affinity_frames):
    """Return what the operator does: output, log-sum-exp, affinity and its cells."""
    batch, size, cells = q.shape[0], tuple(q.shape[2:]), q[0, 0].numel()
    rows = [t.permute(0, 2, 3, 4, 1).flatten(1, 3).contiguous() for t in (q, k, v)]
    out = torch.empty_like(rows[2])
    state = q.new_empty(batch, heads, cells, 2, dtype=torch.float32)
    sums = torch.empty_like(out, dtype=torch.float32) if len(blocks) > 1 and not blocks[0].last else None
    best = torch.full((batch, heads, objects, cells), packed(least), dtype=torch.int64, device=q.device)
    flat = labels.flatten(1).to(torch.int32).contiguous() if objects else None
    for some in blocks:
        sizes = [*size, heads, some.rule, *some.radius, some.first, some.last]
        torch.ops.vosplug_cuda.attention_blocks(
            *rows, scale, some.q_index, some.k_index, flat, sizes, out, sums, state, best if objects else None
        )
    maps = out.unflatten(1, size).permute(0, 4, 1, 2, 3)
    found = [x.unflatten(3, size)[:, :, :, size[0] - affinity_frames :].contiguous() for x in unpacked(best)]
    return maps, state[..., 0].unflatten(2, size).contiguous(), *found
