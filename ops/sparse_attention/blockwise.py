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
    """Some blocks: their cells, scores and who sees whom. Rows are (B*heads, cells, D)."""

    def __init__(self, blocks: Blocks, part: slice, size, q: Tensor, k: Tensor, scale: float) -> None:
        cells = size[0] * size[1] * size[2]
        queries, keys = blocks.q_index[part].long(), blocks.k_index[part].long()
        self.shape = queries.shape
        self.queries = torch.where(queries < 0, cells, queries).reshape(-1)  # row `cells` takes what belongs to none
        self.keys = keys.clamp(min=0).reshape(-1)
        self.key_shape = keys.shape
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

    def of_object(self, labels: Tensor, number: int, heads: int) -> Tensor:
        """(B*heads, n, queries, keys) bool: visible cells of earlier frames that belong to object ``number``."""
        mine = (labels.index_select(1, self.keys).unflatten(1, self.key_shape) == number).repeat_interleave(heads, 0)
        return mine[:, :, None, :] & (self.see & self.earlier)


def attend(q, k, v, size, blocks: tuple[Blocks, ...], scale, heads, labels, objects):
    """Return out (B*heads, cells, DV), log-sum-exp (B*heads, cells), affinity (B*heads, objects, cells).

    q, k (B*heads, cells, D), v (B*heads, cells, DV), labels (B, cells) or None.
    """
    copies, cells = q.shape[:2]
    out = v.new_zeros(copies, cells + 1, v.shape[2])
    maximum = q.new_full((copies, cells + 1), float("-inf"))
    total = q.new_zeros(copies, cells + 1)
    affinity = q.new_zeros(copies, objects, cells + 1)
    for some in blocks:
        for piece in _parts(some, copies):
            part = _Part(some, piece, size, q, k, scale)
            index = part.queries
            for number in range(objects):
                best = part.scores.masked_fill(~part.of_object(labels, number, heads), 0.0).amax(-1).clamp(min=0)
                row = affinity[:, number]
                row.index_copy_(1, index, torch.maximum(row.index_select(1, index), best.flatten(1)))
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
    return out / total[..., None], maximum + total.log(), affinity[..., :cells]


def attend_backward(grad, grad_affinity, q, k, v, out, lse, size, blocks, scale, heads, labels):
    """Return the gradients of q, k and v, shaped as in :func:`attend`; a few blocks of scores are made at a time."""
    copies, cells = q.shape[:2]
    delta = torch.nn.functional.pad((grad * out).sum(-1), (0, 1))
    grad = torch.nn.functional.pad(grad, (0, 0, 0, 1))
    lse = torch.nn.functional.pad(lse, (0, 1))
    grad_q = q.new_zeros(copies, cells + 1, q.shape[2])
    grad_k, grad_v = torch.zeros_like(k), torch.zeros_like(v)
    objects = 0 if grad_affinity is None else grad_affinity.shape[1]
    if objects:
        grad_affinity = torch.nn.functional.pad(grad_affinity, (0, 1))
    for some in blocks:
        for piece in _parts(some, copies):
            part = _Part(some, piece, size, q, k, scale)
            out_grad, values = part.pick(grad, queries=True), part.pick(v)
            weights = (part.scores - part.pick(lse[..., None], queries=True)).exp_().masked_fill_(~part.see, 0.0)
            grad_v.index_add_(1, part.keys, (weights.transpose(-1, -2) @ out_grad).flatten(1, 2))
            of_scores = out_grad @ values.transpose(-1, -2)
            of_scores.sub_(part.pick(delta[..., None], queries=True)).mul_(weights)
            for number in range(objects):
                # The largest score takes the whole gradient; a largest score below zero gave way to zero (Eq. 4).
                mine = part.of_object(labels, number, heads)
                best, where = part.scores.masked_fill(~mine, 0.0).max(-1, keepdim=True)
                taken = part.pick(grad_affinity[:, number, :, None], queries=True)
                taken = torch.where((best > 0) & mine.gather(-1, where), taken, 0.0)
                of_scores.scatter_add_(-1, where, taken)
            of_scores.mul_(scale)
            grad_q.index_add_(1, part.queries, (of_scores @ part.k).flatten(1, 2))
            grad_k.index_add_(1, part.keys, (of_scores.transpose(-1, -2) @ part.q).flatten(1, 2))
    return grad_q[:, :cells], grad_k, grad_v
