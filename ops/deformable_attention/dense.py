"""Attention of all queries to all keys by the compiled kernel: no map of scores, one head after the other."""

import functools

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ..library import has_extension

_COMPILED = has_extension()  # a constant, so that torch.compile sees one branch
_QUERIES = 384  # per block: the keys are prepared once for so many


def runs_compiled(*tensors: Tensor) -> bool:
    """Return whether the kernel takes these tensors: float32 on the CPU, and no gradient is asked for."""
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return not grad and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors) and _COMPILED


@functools.lru_cache(maxsize=16)
def _blocks(queries: int, keys: int) -> tuple[Tensor, Tensor]:
    count = -(-queries // _QUERIES)
    index = torch.full((count * _QUERIES,), -1, dtype=torch.int32)
    index[:queries] = torch.arange(queries, dtype=torch.int32)
    return index.reshape(count, _QUERIES), torch.arange(keys, dtype=torch.int32).repeat(count, 1)


@torch.library.custom_op("vosplug::dense_attention", mutates_args=())
def dense_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> Tensor:
    """softmax(q k^T * scale) v per head: q (B, N, heads*D), k (B, M, heads*D), v (B, M, heads*DV) -> (B, N, heads*DV).

    Inference only; ``runs_compiled`` tells whether it may be called.
    """
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out = torch.empty(q.shape[0], q.shape[1], v.shape[2])
    state = torch.empty(q.shape[0], heads, q.shape[1], 2)
    sizes = [1, 1, q.shape[1], heads, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    index = _blocks(q.shape[1], k.shape[1])
    torch.ops.vosplug_cpu.attention_blocks(q, k, v, scale, *index, None, sizes, out, state, None, None)
    return out


@dense_attention.register_fake
def _(q, k, v, heads, scale):
    return q.new_empty(q.shape[0], q.shape[1], v.shape[2])


@register_flop_formula(torch.ops.vosplug.dense_attention)
def _(q_shape, k_shape, v_shape, heads, scale, *args, out_shape=None, **kwargs) -> int:
    return 2 * q_shape[0] * q_shape[1] * k_shape[1] * (q_shape[2] + v_shape[2])
