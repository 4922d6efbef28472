"""Sparse spatiotemporal attention as a torch operator."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ..library import has_extension, no_second_derivative
from . import cuda
from .blockwise import attend, attend_backward
from .patterns import blocks_of, count_pairs


def _rows(x: Tensor, heads: int) -> Tensor:
    """(B, heads*D, T, H, W) -> (B*heads, T*H*W, D)."""
    split = x.unflatten(1, (heads, -1)).flatten(3)
    return split.transpose(2, 3).flatten(0, 1)


def _maps(rows: Tensor, batch: int, size) -> Tensor:
    """(B*heads, T*H*W, D) -> (B, heads*D, T, H, W), channels innermost."""
    merged = rows.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2)
    return merged.unflatten(1, tuple(size)).permute(0, 4, 1, 2, 3).contiguous(memory_format=torch.channels_last_3d)


def _cell_rows(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> contiguous float32 (B, T*H*W, C); a view for channels_last_3d."""
    if not x.is_contiguous():
        return x.permute(0, 2, 3, 4, 1).flatten(1, 3).float().contiguous()
    rows = x.new_empty(x.shape[0], x[0, 0].numel(), x.shape[1], dtype=torch.float32)
    for to, of in zip(rows, x, strict=True):
        to.copy_(of.flatten(1).t())  # matrix by matrix, as PyTorch transposes those in tiles
    return rows


def _compute_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _on_cpu(x: Tensor) -> bool:
    """Whether the compiled CPU kernels take this input."""
    return x.device.type == "cpu" and x.dtype != torch.float64 and has_extension()


def _run_compiled(q, k, v, heads, scale, blocks, labels, objects):
    batch, size, cells = q.shape[0], tuple(q.shape[2:]), q[0, 0].numel()
    rows = [_cell_rows(t) for t in (q, k, v)]
    out = torch.empty(batch, cells, v.shape[1])
    state = torch.empty(batch, heads, cells, 2)
    affinity = torch.zeros(batch, heads, objects, cells)
    flat = labels.flatten(1).to(torch.int32).contiguous() if objects else None
    for some in blocks:
        sizes = [*size, heads, some.rule, *some.radius, some.first, some.last, *some.groups]
        torch.ops.vosplug_cpu.attention_blocks(
            *rows, scale, some.q_index, some.k_index, flat, sizes, out, state, affinity if objects else None
        )
    maps = out.unflatten(1, tuple(size)).permute(0, 4, 1, 2, 3)
    return maps.to(v.dtype), state[..., 0].unflatten(2, tuple(size)).contiguous(), affinity.unflatten(3, tuple(size))


def _backward_compiled(grad, q, k, v, out, lse, heads, scale, blocks):
    size = tuple(q.shape[2:])
    grad, out, *rows = (_cell_rows(t) for t in (grad, out, q, k, v))
    delta = (grad * out).unflatten(2, (heads, -1)).sum(-1).transpose(1, 2).contiguous()
    lse = lse.flatten(2).contiguous()
    grads = [torch.empty_like(t) for t in rows]
    for of_keys in (False, True):
        for some in blocks:
            sizes = [*size, heads, some.rule, *some.radius, some.first, some.last, *some.groups]
            torch.ops.vosplug_cpu.attention_backward(
                grad, *rows, lse, delta, scale, some.q_index, some.k_index, sizes, of_keys, *grads
            )
    maps = [g.unflatten(1, size).permute(0, 4, 1, 2, 3) for g in grads]
    return tuple(m.to(t.dtype) for m, t in zip(maps, (q, k, v), strict=True))


@torch.library.custom_op("vosplug::sparse_attention", mutates_args=())
def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    scale: float,
    pattern: str,
    params: Sequence[int],
    causal: bool,
    labels: Tensor | None,
    objects: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Operator behind grid, local and strided attention: output, log-sum-exp (B, heads, T, H, W), affinity."""
    size = tuple(q.shape[2:])
    on_cpu = _on_cpu(q)
    on_gpu = cuda.takes(q, v, heads)
    blocks = blocks_of(pattern, size, tuple(params), causal, on_cpu or on_gpu, q.device)
    if on_cpu or on_gpu:
        run = cuda.run if on_gpu else _run_compiled
        return run(q, k, v, heads, scale, blocks, labels, objects)
    dtype = _compute_dtype(q)
    rows = [_rows(t.to(dtype), heads) for t in (q, k, v)]
    flat = labels.flatten(1) if objects else None
    out, lse, affinity = attend(*rows, size, blocks, scale, heads, flat, objects)
    batch = q.shape[0]
    maps = _maps(out, batch, size).to(v.dtype)
    lse = lse.reshape(batch, heads, *size).contiguous()
    return maps, lse, affinity.reshape(batch, heads, objects, *size).contiguous()


@sparse_attention.register_fake
def _(q, k, v, heads, scale, pattern, params, causal, labels, objects):
    batch, size = q.shape[0], q.shape[2:]
    dtype = _compute_dtype(q)
    out = v.new_empty(batch, *size, v.shape[1]).permute(0, 4, 1, 2, 3)
    return out, q.new_empty(batch, heads, *size, dtype=dtype), q.new_empty(batch, heads, objects, *size, dtype=dtype)


@torch.library.custom_op("vosplug::sparse_attention_backward", mutates_args=())
def sparse_attention_backward(
    grad: Tensor,
    grad_affinity: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    heads: int,
    scale: float,
    pattern: str,
    params: Sequence[int],
    causal: bool,
    labels: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v; the scores are made anew, a few blocks at a time."""
    size, batch, dtype = tuple(q.shape[2:]), q.shape[0], _compute_dtype(q)
    fused = _on_cpu(q) and grad_affinity is None
    blocks = blocks_of(pattern, size, tuple(params), causal, fused, q.device)
    if fused:
        return _backward_compiled(grad, q, k, v, out, lse, heads, scale, blocks)
    rows = [_rows(t.to(dtype), heads) for t in (grad, q, k, v, out)]
    flat = None if labels is None else labels.flatten(1)
    of_affinity = None if grad_affinity is None else grad_affinity.to(dtype).flatten(0, 1).flatten(2)
    lse = lse.to(dtype).flatten(0, 1).flatten(1)
    grads = attend_backward(rows[0], of_affinity, *rows[1:], lse, size, blocks, scale, heads, flat)
    return tuple(_maps(g, batch, size).to(t.dtype) for g, t in zip(grads, (q, k, v), strict=True))


no_second_derivative(sparse_attention_backward, "sparse attention")


@sparse_attention_backward.register_fake
def _(grad, grad_affinity, q, k, v, out, lse, heads, scale, pattern, params, causal, labels):
    def like(t: Tensor) -> Tensor:
        return t.new_empty(t.shape[0], *t.shape[2:], t.shape[1]).permute(0, 4, 1, 2, 3)

    return like(q), like(k), like(v)


def _setup_context(ctx, inputs, output):
    q, k, v, ctx.heads, ctx.scale, ctx.pattern, ctx.params, ctx.causal, labels, ctx.objects = inputs
    ctx.save_for_backward(q, k, v, labels, output[0], output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, grad_lse, grad_affinity):
    q, k, v, labels, out, lse = ctx.saved_tensors
    grads = torch.ops.vosplug.sparse_attention_backward(
        grad, grad_affinity if ctx.objects else None, q, k, v, out, lse, ctx.heads, ctx.scale, ctx.pattern, ctx.params,
        ctx.causal, labels if ctx.objects else None,
    )  # fmt: skip
    return *grads, *(None,) * 7


sparse_attention.register_autograd(_backward, setup_context=_setup_context)


@register_flop_formula(torch.ops.vosplug.sparse_attention, get_raw=True)
def _(q, k, v, heads, scale, pattern, params, causal, *args, out_val=None, **kwargs) -> int:
    pairs = q.shape[0] * count_pairs(pattern, tuple(q.shape[2:]), tuple(params), causal)
    return 2 * pairs * (q.shape[1] + v.shape[1])


@register_flop_formula(torch.ops.vosplug.sparse_attention_backward, get_raw=True)
def _(grad, grad_affinity, q, k, v, out, lse, heads, scale, pattern, params, causal, *a, out_val=None, **kw) -> int:
    pairs = q.shape[0] * count_pairs(pattern, tuple(q.shape[2:]), tuple(params), causal)
    return 2 * pairs * (3 * q.shape[1] + 2 * v.shape[1])
