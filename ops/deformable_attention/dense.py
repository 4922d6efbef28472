"""Attention of all queries to all keys by the compiled kernel: no map of scores, one head after the other."""

import functools
from collections.abc import Sequence

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
def dense_attention(q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor], heads: int, scale: float) -> Tensor:
    """softmax(q k^T * scale) v per head, over the keys of several frames together, which are never joined.

    q (B, N, heads*D), k one (B, M_i, heads*D) and v one (B, M_i, heads*DV) per frame -> (B, N, heads*DV).
    Inference only; ``runs_compiled`` tells whether it may be called.
    """
    q = q.contiguous()
    out = torch.empty(q.shape[0], q.shape[1], v[0].shape[2])
    state = torch.empty(q.shape[0], heads, q.shape[1], 2)
    for number, (keys, values) in enumerate(zip(k, v, strict=True)):
        sizes = [1, 1, q.shape[1], heads, 0, 0, 0, 0, number == 0, number == len(k) - 1, 0, 0, 0, 0]
        index = _blocks(q.shape[1], keys.shape[1])
        rows = (q, keys.contiguous(), values.contiguous())
        torch.ops.vosplug_cpu.attention_blocks(*rows, scale, *index, None, sizes, out, state, None, None)
    return out


@dense_attention.register_fake
def _(q, k, v, heads, scale):
    return q.new_empty(q.shape[0], q.shape[1], v[0].shape[2])


@register_flop_formula(torch.ops.vosplug.dense_attention)
def _(q_shape, k_shapes, v_shapes, heads, scale, *args, out_shape=None, **kwargs) -> int:
    keys = sum(shape[1] for shape in k_shapes)
    return 2 * q_shape[0] * q_shape[1] * keys * (q_shape[2] + v_shapes[0][2])
