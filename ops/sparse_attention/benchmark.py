"""Benchmark cases of the sparse attentions: SST's grids (three frames, 128 channels)."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..benchmark import Case
from . import op
from .functions import grid_attention, local_attention, strided_attention

SIZES = ((3, 30, 54), (3, 59, 59), (3, 117, 117))


def grid_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Grid attention as most would write it: one einsum per axis, scores joined, the cell itself hidden twice."""
    t, h, w = q.shape[2:]
    hide = [torch.eye(n, device=q.device).mul(float("-inf")).nan_to_num_(0.0, neginf=float("-inf")) for n in (h, t)]
    rows = torch.einsum("bcthw,bcthx->bthwx", q, k)
    columns = torch.einsum("bcthw,bctyw->bthwy", q, k) + hide[0][None, None, :, None]
    lines = torch.einsum("bcthw,bcuhw->bthwu", q, k) + hide[1][None, :, None, None]
    weights = torch.cat([rows, columns, lines], -1).softmax(-1)
    a, b, c = weights.split([w, h, t], -1)
    out = torch.einsum("bthwx,bcthx->bcthw", a, v) + torch.einsum("bthwy,bctyw->bcthw", b, v)
    return out + torch.einsum("bthwu,bcuhw->bcthw", c, v)


def grid_matmul(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Grid attention by batched products on channels-last views: the fastest that PyTorch alone gave."""
    t, h, w = q.shape[2:]
    diagonal = [torch.zeros(n, n, device=q.device).fill_diagonal_(float("-inf")) for n in (h, t)]
    last = [x.permute(0, 2, 3, 4, 1) for x in (q, k, v)]
    views = [last, [x.transpose(2, 3) for x in last], [x.permute(0, 2, 3, 1, 4) for x in last]]
    rows, columns, lines = (a @ b.transpose(-1, -2) for a, b, _ in views)
    columns, lines = columns + diagonal[0], lines + diagonal[1]
    joined = torch.cat([rows, columns.transpose(2, 3), lines.permute(0, 3, 1, 2, 4)], -1).softmax(-1)
    a, b, c = joined.split([w, h, t], -1)
    out = a @ views[0][2]
    out += (b.transpose(2, 3) @ views[1][2]).transpose(2, 3)
    out += (c.permute(0, 2, 3, 1, 4) @ views[2][2]).permute(0, 3, 1, 2, 4)
    return out.permute(0, 4, 1, 2, 3)


def strided_sdpa(q: Tensor, k: Tensor, v: Tensor, stride: int) -> Tensor:
    """Strided attention by PyTorch's fused attention on every residue class of rows and columns."""
    out = torch.empty_like(q)
    for y in range(stride):
        for x in range(stride):
            part = [t[..., y::stride, x::stride].flatten(2).transpose(1, 2).contiguous()[:, None] for t in (q, k, v)]
            fresh = F.scaled_dot_product_attention(*part, scale=1.0)[:, 0].transpose(1, 2)
            out[..., y::stride, x::stride] = fresh.unflatten(2, out[..., y::stride, x::stride].shape[2:])
    return out


def without_kernel(call: Callable[[], object]) -> Callable[[], object]:
    """Return ``call`` so that it runs as this package's PyTorch code."""

    def run() -> object:
        keep = op.has_extension
        op.has_extension = lambda: False
        try:
            return call()
        finally:
            op.has_extension = keep

    return run


def _backward(call: Callable[..., Tensor], tensors: list[Tensor]) -> Callable[[], object]:
    def run() -> object:
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in tensors]
            call(*leaves).sum().backward()
        return leaves[0].grad

    return run


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield the comparisons of docs/benchmarks.md; ``quick`` keeps the smallest grid."""
    for size in SIZES[:1] if quick else SIZES:
        torch.manual_seed(0)
        q, k, v = (
            (torch.randn(1, 128, *size) * 0.3).to(device).to(memory_format=torch.channels_last_3d) for _ in range(3)
        )
        shape, common = f"(1,128,{','.join(map(str, size))})", ("float32", 1.0)
        grid = lambda q=q, k=k, v=v: grid_attention(q, k, v)  # noqa: E731
        yield Case(
            "sparse_attention", shape, *common, "einsum", grid, lambda q=q, k=k, v=v: grid_einsum(q, k, v), "grid"
        )
        yield Case(
            "sparse_attention", shape, *common, "matmul on channels-last views", grid,
            lambda q=q, k=k, v=v: grid_matmul(q, k, v), "grid",
        )  # fmt: skip
        radius = (2, 7, 7)
        local = lambda q=q, k=k, v=v, r=radius: local_attention(q, k, v, r)  # noqa: E731
        yield Case(
            "sparse_attention", shape, *common, "tiles in PyTorch", local, without_kernel(local),
            "local 15x15, 3 frames",
        )  # fmt: skip
        stride = (1, 8, 8)
        strided = lambda q=q, k=k, v=v, s=stride: strided_attention(q, k, v, s)  # noqa: E731
        yield Case(
            "sparse_attention", shape, *common, "SDPA per residue class", strided,
            lambda q=q, k=k, v=v: strided_sdpa(q, k, v, 8), "strided 8x8, 3 frames",
        )  # fmt: skip
        if size == SIZES[-1]:
            continue
        yield Case(
            "sparse_attention", shape, *common, "einsum", _backward(grid_attention, [q, k, v]),
            _backward(grid_einsum, [q, k, v]), "grid, forward and backward",
        )  # fmt: skip
