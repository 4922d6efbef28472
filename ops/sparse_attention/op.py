"""Sparse spatiotemporal attention as a torch operator."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ..library import has_extension, no_second_derivative
from . import cuda
from .blockwise import affinity_backward, attend, attend_backward
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


def _sizes(q: Tensor, k: Tensor, heads: int, some) -> list[int]:
    """What the kernels want to know of a call, as job_of in sparse_attention.cpp takes it."""
    first_query = k[0, 0].numel() - q[0, 0].numel()
    return [*k.shape[2:], heads, some.rule, *some.radius, some.first, some.last, *some.groups, first_query]


def _run_compiled(q, k, v, heads, scale, blocks, labels, objects, least, affinity_frames):
    batch, size, cells = q.shape[0], tuple(q.shape[2:]), q[0, 0].numel()
    rows = [_cell_rows(t) for t in (q, k, v)]
    out = torch.empty(batch, cells, v.shape[1])
    state = torch.empty(batch, heads, cells, 2)
    affinity = torch.full((batch, heads, objects, affinity_frames * size[1] * size[2]), least)
    where = torch.full(affinity.shape, -1, dtype=torch.int32)
    found = (affinity, where) if objects else (None, None)
    flat = labels.flatten(1).to(torch.int32).contiguous() if objects else None
    for some in blocks:
        torch.ops.vosplug_cpu.attention_blocks(
            *rows, scale, some.q_index, some.k_index, flat, _sizes(q, k, heads, some), out, state, *found
        )
    maps = out.unflatten(1, size).permute(0, 4, 1, 2, 3)
    grids = (x.unflatten(3, (affinity_frames, *size[1:])) for x in (affinity, where))
    return maps.to(v.dtype), state[..., 0].unflatten(2, size).contiguous(), *grids


def _backward_compiled(grad, grad_affinity, delta, q, k, v, lse, where, heads, scale, blocks):
    size = tuple(k.shape[2:])
    grad, *rows = (_cell_rows(t) for t in (grad, q, k, v))
    # Keys that no query sees are in no block.
    grads = [torch.empty_like(t) if q.shape == k.shape else torch.zeros_like(t) for t in rows]
    for of_keys, passes in enumerate(blocks):
        for some in passes:
            torch.ops.vosplug_cpu.attention_backward(
                grad, *rows, lse.flatten(2).contiguous(), delta, scale, some.q_index, some.k_index,
                _sizes(q, k, heads, some), bool(of_keys), *grads,
            )  # fmt: skip
    if grad_affinity is not None:
        asked = (t.flatten(3).contiguous() for t in (grad_affinity.float(), where))
        first_query = k[0, 0].numel() - q[0, 0].numel()
        torch.ops.vosplug_cpu.affinity_backward(*asked, *rows[:2], scale, [*size, heads, first_query], *grads[:2])
    maps = (g.unflatten(1, (-1, *size[1:])).permute(0, 4, 1, 2, 3) for g in grads)
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
    clamp: bool,
    affinity_frames: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Operator behind grid, local and strided attention; the n frames of q are the last of T.

    Output (B, heads*DV, n, H, W), log-sum-exp (B, heads, n, H, W); affinity of the last ``affinity_frames`` of them
    (B, heads, objects, ., H, W), at least zero if ``clamp``, else -inf where there is none; and the number of the cell
    that has it, int32, -1 for none.
    """
    size, asking = tuple(k.shape[2:]), q.shape[2]
    on_cpu = _on_cpu(q)
    on_gpu = cuda.takes(q, k, v, heads)
    blocks = blocks_of(pattern, size, tuple(params), causal, on_cpu or on_gpu, q.device, asking)
    least = 0.0 if clamp else float("-inf")
    if on_cpu or on_gpu:
        run = cuda.run if on_gpu else _run_compiled
        return run(q, k, v, heads, scale, blocks, labels, objects, least, affinity_frames)
    dtype = _compute_dtype(q)
    rows = [_rows(t.to(dtype), heads) for t in (q, k, v)]
    flat = labels.flatten(1) if objects else None
    out, lse, *found = attend(*rows, size, blocks, scale, heads, flat, objects, least)
    batch, own = q.shape[0], (asking, *size[1:])
    grids = [x.reshape(batch, heads, objects, *own)[:, :, :, asking - affinity_frames :].contiguous() for x in found]
    return _maps(out, batch, own).to(v.dtype), lse.reshape(batch, heads, *own).contiguous(), grids[0], grids[1].int()


@sparse_attention.register_fake
def _(q, k, v, heads, scale, pattern, params, causal, labels, objects, clamp, affinity_frames):
    batch, size = q.shape[0], q.shape[2:]
    dtype = _compute_dtype(q)
    out = v.new_empty(batch, *size, v.shape[1]).permute(0, 4, 1, 2, 3)
    found = (batch, heads, objects, affinity_frames, *size[1:])
    lse = q.new_empty(batch, heads, *size, dtype=dtype)
    return out, lse, q.new_empty(found, dtype=dtype), q.new_empty(found, dtype=torch.int32)


@torch.library.custom_op("vosplug::sparse_attention_backward", mutates_args=())
def sparse_attention_backward(
    grad: Tensor,
    grad_lse: Tensor | None,
    grad_affinity: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    where: Tensor,
    heads: int,
    scale: float,
    pattern: str,
    params: Sequence[int],
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v; the scores are made anew, a few blocks at a time."""
    size, batch, dtype = tuple(k.shape[2:]), q.shape[0], _compute_dtype(q)
    delta = (grad.to(dtype) * out.to(dtype)).unflatten(1, (heads, -1)).sum(2)
    delta = (delta if grad_lse is None else delta - grad_lse.to(dtype)).flatten(2).contiguous()
    choice = (pattern, size, tuple(params), causal)
    if _on_cpu(q):
        blocks = [blocks_of(*choice, True, q.device, q.shape[2], of_keys) for of_keys in (False, True)]
        return _backward_compiled(grad, grad_affinity, delta, q, k, v, lse, where, heads, scale, blocks)
    blocks = blocks_of(*choice, False, q.device, q.shape[2])
    rows = [_rows(t.to(dtype), heads) for t in (grad, q, k, v)]
    flat = lse.to(dtype).flatten(0, 1).flatten(1)
    grads = attend_backward(rows[0], delta.flatten(0, 1), *rows[1:], flat, size, blocks, scale)
    if grad_affinity is not None:
        asked = (t.flatten(0, 1).flatten(2) for t in (grad_affinity.to(dtype), where.long()))
        affinity_backward(*asked, *rows[1:3], scale, *grads[:2])
    return tuple(_maps(g, batch, t.shape[2:]).to(t.dtype) for g, t in zip(grads, (q, k, v), strict=True))


no_second_derivative(sparse_attention_backward, "sparse attention")


@sparse_attention_backward.register_fake
def _(grad, grad_lse, grad_affinity, q, k, v, out, lse, where, heads, scale, pattern, params, causal):
    def like(t: Tensor) -> Tensor:
        return t.new_empty(t.shape[0], *t.shape[2:], t.shape[1]).permute(0, 4, 1, 2, 3)

    return like(q), like(k), like(v)


def _setup_context(ctx, inputs, output):
    q, k, v, ctx.heads, ctx.scale, ctx.pattern, ctx.params, ctx.causal, _, ctx.objects, *_ = inputs
    out, lse, _, where = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(q, k, v, out, lse, where)
    ctx.mark_non_differentiable(where)


def _backward(ctx, grad, grad_lse, grad_affinity, grad_where):
    q, k, v, out, lse, where = ctx.saved_tensors
    grads = torch.ops.vosplug.sparse_attention_backward(
        torch.zeros_like(out) if grad is None else grad, grad_lse, grad_affinity if ctx.objects else None, q, k, v, out,
        lse, where, ctx.heads, ctx.scale, ctx.pattern, ctx.params, ctx.causal,
    )  # fmt: skip
    return *grads, *(None,) * 9


sparse_attention.register_autograd(_backward, setup_context=_setup_context)


def _pairs(q: Tensor, k: Tensor, pattern: str, params: Sequence[int], causal: bool) -> int:
    return q.shape[0] * count_pairs(pattern, tuple(k.shape[2:]), tuple(params), causal, q.shape[2])


@register_flop_formula(torch.ops.vosplug.sparse_attention, get_raw=True)
def _(q, k, v, heads, scale, pattern, params, causal, *args, out_val=None, **kwargs) -> int:
    return 2 * _pairs(q, k, pattern, params, causal) * (q.shape[1] + v.shape[1])


@register_flop_formula(torch.ops.vosplug.sparse_attention_backward, get_raw=True)
def _(grad, grad_lse, grad_affinity, q, k, v, out, lse, where, heads, scale, pattern, params, causal, out_val=None,
      **kw) -> int:  # fmt: skip
    return 2 * _pairs(q, k, pattern, params, causal) * (3 * q.shape[1] + 2 * v.shape[1])
