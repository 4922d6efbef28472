"""Attention within blocks in PyTorch, a few blocks at a time: where the compiled kernel does not run, and gradients."""

import torch
from torch import Tensor

from .patterns import Blocks, visible

_SCORES_AT_A_TIME = 1 << 22


def _parts(blocks: Blocks, copies: int):
    per_block = copies * blocks.q_index.shape[1] * blocks.k_index.shape[1]
    step = max(1, _SCORES_AT_A_TIME // max(1, per_block))
    return [slice(i, i + step) for i in range(0, blocks.q_index.shape[0], step)]


class _Part:
    """Some blocks: their cells, scores and who sees whom. Rows are (B*heads, cells, D); of q the last ones alone."""

    def __init__(self, blocks: Blocks, part: slice, size, q: Tensor, k: Tensor, scale: float) -> None:
        queries, keys = blocks.q_index[part].long(), blocks.k_index[part].long()
        self.shape, self.key_shape = queries.shape, keys.shape
        first = k.shape[1] - q.shape[1]
        self.queries = torch.where(queries < 0, q.shape[1], queries - first).reshape(-1)  # the last is nobody's
        self.cells = keys.clamp(min=0)
        self.keys = self.cells.reshape(-1)
        self.see = visible(blocks, size, part)
        self.q, self.k = self.pick(q, queries=True), self.pick(k)
        self.scores = (self.q @ self.k.transpose(-1, -2)).mul_(scale).masked_fill_(~self.see, float("-inf"))
        plane = size[1] * size[2]
        self.earlier = keys[:, None].div(plane, rounding_mode="floor") < queries[:, :, None].div(
            plane, rounding_mode="floor"
        )

    def pick(self, rows: Tensor, queries: bool = False) -> Tensor:
        """Rows of this part's queries or keys, (B*heads, n, L, D)."""
        if queries:
            return rows.index_select(1, self.queries.clamp(max=rows.shape[1] - 1)).unflatten(1, self.shape)
        return rows.index_select(1, self.keys).unflatten(1, self.key_shape)

    def best_of(self, labels: Tensor, number: int, heads: int) -> tuple[Tensor, Tensor]:
        """(B*heads, n*queries) largest score among visible cells of earlier frames of an object, and its cell."""
        mine = (labels.index_select(1, self.keys).unflatten(1, self.key_shape) == number).repeat_interleave(heads, 0)
        seen = mine[:, :, None, :] & (self.see & self.earlier)
        best, where = self.scores.masked_fill(~seen, float("-inf")).max(-1)
        cells = self.cells[None].expand(len(where), -1, -1).gather(2, where)
        return best.flatten(1), cells.flatten(1)


def attend(q, k, v, size, blocks: tuple[Blocks, ...], scale, heads, labels, objects, least):
    """Return output (B*heads, queries, DV), log-sum-exp (B*heads, queries), affinity and the cell that has it.

    The latter two are (B*heads, objects, queries).

    q (B*heads, queries, D), k (B*heads, cells, D), v (B*heads, cells, DV), labels (B, cells) or None. Affinity is at
    least ``least``, and its cell -1 where nothing is above that.
    """
    copies, cells = q.shape[:2]
    out = v.new_zeros(copies, cells + 1, v.shape[2])
    maximum = q.new_full((copies, cells + 1), float("-inf"))
    total = q.new_zeros(copies, cells + 1)
    affinity = q.new_full((copies, objects, cells + 1), least)
    where = torch.full(affinity.shape, -1, dtype=torch.int64, device=q.device)
    for some in blocks:
        for piece in _parts(some, copies):
            part = _Part(some, piece, size, q, k, scale)
            index = part.queries
            for number in range(objects):
                best, cell = part.best_of(labels, number, heads)
                before = affinity[:, number].index_select(1, index)
                more = best > before
                affinity[:, number].index_copy_(1, index, torch.where(more, best, before))
                old_cell = where[:, number].index_select(1, index)
                where[:, number].index_copy_(1, index, torch.where(more, cell, old_cell))
            old = maximum.index_select(1, index)
            new = torch.maximum(old, part.scores.amax(-1).flatten(1))
            safe = torch.where(new == float("-inf"), 0.0, new)
            weights = (part.scores - safe.unflatten(1, part.shape)[..., None]).exp_()
            keep = (old - safe).exp_()
            total.index_copy_(1, index, total.index_select(1, index) * keep + weights.sum(-1).flatten(1))
            fresh = (weights @ part.pick(v)).flatten(1, 2)
            out.index_copy_(1, index, out.index_select(1, index) * keep[..., None] + fresh)
            maximum.index_copy_(1, index, new)
    out, total, maximum = out[:, :cells], total[:, :cells], maximum[:, :cells]
    return out / total[..., None], maximum + total.log(), affinity[..., :cells], where[..., :cells]


def attend_backward(grad, delta, q, k, v, lse, size, blocks, scale):
    """Return the gradients of q, k and v by those of the output, a few blocks of scores at a time.

    Shapes as in :func:`attend`; delta (B*heads, queries): the product of output and its gradient, less that of the
    log-sum-exp.
    """
    delta, grad, lse = (torch.nn.functional.pad(x, (*(0, 0) * (x.dim() - 2), 0, 1)) for x in (delta, grad, lse))
    cells = q.shape[1]
    grad_q = q.new_zeros(q.shape[0], cells + 1, q.shape[2])
    grad_k, grad_v = torch.zeros_like(k), torch.zeros_like(v)
    for some in blocks:
        for piece in _parts(some, q.shape[0]):
            part = _Part(some, piece, size, q, k, scale)
            out_grad, values = part.pick(grad, queries=True), part.pick(v)
            weights = (part.scores - part.pick(lse[..., None], queries=True)).exp_().masked_fill_(~part.see, 0.0)
            grad_v.index_add_(1, part.keys, (weights.transpose(-1, -2) @ out_grad).flatten(1, 2))
            of_scores = out_grad @ values.transpose(-1, -2)
            of_scores.sub_(part.pick(delta[..., None], queries=True)).mul_(weights).mul_(scale)
            grad_q.index_add_(1, part.queries, (of_scores @ part.k).flatten(1, 2))
            grad_k.index_add_(1, part.keys, (of_scores.transpose(-1, -2) @ part.q).flatten(1, 2))
    return grad_q[:, :cells], grad_k, grad_v


def affinity_backward(grad, where, q, k, scale, grad_q, grad_k):
    """Add to the gradients of q and k what affinity asks for: each largest score takes the whole of its own.

    q, grad_q (B*heads, queries, D), k, grad_k (B*heads, cells, D); grad, where (B*heads, objects, A) of the last A
    queries, -1: nobody's.
    """
    objects, last = where.shape[1:]
    found = where.clamp(min=0).flatten(1)[..., None].expand(-1, -1, k.shape[2])
    slope = (grad * (where >= 0) * scale).flatten(1)[..., None]
    grad_q[:, q.shape[1] - last :] += (slope * k.gather(1, found)).unflatten(1, (objects, last)).sum(1)
    grad_k.scatter_add_(1, found, slope * q[:, q.shape[1] - last :].repeat(1, objects, 1))
