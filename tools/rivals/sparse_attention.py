"""Sparse attention as PyTorch alone can do it, all in (B, C, T, H, W), one head, scale 1; and the cases to compare:

SST's grids (three frames, 128 channels).
"""

import functools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from vosplug.ops import grid_attention, local_attention, strided_attention
from vosplug.ops.benchmark import Case
from vosplug.ops.sparse_attention import op

SIZES = ((3, 30, 54), (3, 59, 59), (3, 117, 117))
RADIUS, STRIDE = 7, 8
_NONE = float("-inf")

Call = Callable[..., Tensor]


def _diagonal(size: int, device: torch.device) -> Tensor:
    return torch.zeros(size, size, device=device).fill_diagonal_(_NONE)


def grid_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Grid attention as most would write it: one einsum per axis, scores joined, the cell itself hidden twice."""
    t, h, w = q.shape[2:]
    rows = torch.einsum("bcthw,bcthx->bthwx", q, k)
    columns = torch.einsum("bcthw,bctyw->bthwy", q, k) + _diagonal(h, q.device)[None, None, :, None]
    lines = torch.einsum("bcthw,bcuhw->bthwu", q, k) + _diagonal(t, q.device)[None, :, None, None]
    weights = torch.cat([rows, columns, lines], -1).softmax(-1)
    a, b, c = weights.split([w, h, t], -1)
    out = torch.einsum("bthwx,bcthx->bcthw", a, v) + torch.einsum("bthwy,bctyw->bcthw", b, v)
    return out + torch.einsum("bthwu,bcuhw->bcthw", c, v)


def grid_matmul(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Grid attention by batched products on channels-last views."""
    t, h, w = q.shape[2:]
    last = [x.permute(0, 2, 3, 4, 1) for x in (q, k, v)]
    views = [last, [x.transpose(2, 3) for x in last], [x.permute(0, 2, 3, 1, 4) for x in last]]
    rows, columns, lines = (a @ b.transpose(-1, -2) for a, b, _ in views)
    columns, lines = columns + _diagonal(h, q.device), lines + _diagonal(t, q.device)
    joined = torch.cat([rows, columns.transpose(2, 3), lines.permute(0, 3, 1, 2, 4)], -1).softmax(-1)
    a, b, c = joined.split([w, h, t], -1)
    out = a @ views[0][2]
    out += (b.transpose(2, 3) @ views[1][2]).transpose(2, 3)
    out += (c.permute(0, 2, 3, 1, 4) @ views[2][2]).permute(0, 3, 1, 2, 4)
    return out.permute(0, 4, 1, 2, 3)


def grid_merged(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Grid attention by PyTorch's fused attention per axis, joined by the log-sum-exp; the cell is counted three times,
    and taken off twice. Inference only."""
    last = [x.permute(0, 2, 3, 4, 1) for x in (q, k, v)]
    parts = []
    for order in ((0, 1, 2, 3, 4), (0, 1, 3, 2, 4), (0, 2, 3, 1, 4)):
        rows = [x.permute(order).flatten(0, 2).unflatten(0, (-1, 1)) for x in last]
        rows = [x.reshape(-1, 1, *last[0].permute(order).shape[3:]) for x in rows]
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*rows, 0.0, False, scale=1.0)
        back = [order.index(i) for i in range(4)]
        shape = last[0].permute(order).shape[:4]
        parts.append((out.reshape(*shape, -1).permute(*back, 4), lse.reshape(shape).permute(back)))
    self_score = (last[0] * last[1]).sum(-1)
    top = torch.stack([lse for _, lse in parts]).amax(0)
    own = 2 * (self_score - top).exp()
    total, out = -own, -own[..., None] * last[2]
    for part, lse in parts:
        weight = (lse - top).exp()
        total, out = total + weight, out + weight[..., None] * part
    return (out / total[..., None]).permute(0, 4, 1, 2, 3)


def strided_sdpa(q: Tensor, k: Tensor, v: Tensor, stride: int) -> Tensor:
    """Strided attention by PyTorch's fused attention on every residue class of rows and columns."""
    rows = []
    for y in range(stride):
        line = []
        for x in range(stride):
            part = [t[..., y::stride, x::stride].flatten(2).transpose(1, 2).contiguous()[:, None] for t in (q, k, v)]
            fresh = F.scaled_dot_product_attention(*part, scale=1.0)[:, 0].transpose(1, 2)
            line.append(fresh.unflatten(2, q[..., y::stride, x::stride].shape[2:]))
        rows.append(line)
    return _interleave(rows, q.shape[3:])


def strided_matmul(q: Tensor, k: Tensor, v: Tensor, stride: int) -> Tensor:
    """The same by plain products."""
    rows = []
    for y in range(stride):
        line = []
        for x in range(stride):
            part = [t[..., y::stride, x::stride].flatten(2).transpose(1, 2) for t in (q, k, v)]
            fresh = ((part[0] @ part[1].transpose(1, 2)).softmax(-1) @ part[2]).transpose(1, 2)
            line.append(fresh.unflatten(2, q[..., y::stride, x::stride].shape[2:]))
        rows.append(line)
    return _interleave(rows, q.shape[3:])


def _interleave(rows: list[list[Tensor]], size) -> Tensor:
    """The inverse of taking every residue class of rows and columns."""
    first = rows[0][0]
    out = first.new_empty(*first.shape[:3], *size)
    for y, line in enumerate(rows):
        for x, part in enumerate(line):
            out[..., y :: len(rows), x :: len(rows)] = part
    return out


def local_sdpa(q: Tensor, k: Tensor, v: Tensor, radius: int, tile: int = 8) -> Tensor:
    """Local attention (all frames) by PyTorch's fused attention, masked, on tiles of queries with a margin of keys."""
    t, h, w = q.shape[2:]
    down, right = -h % tile, -w % tile
    padded = F.pad(q, (0, right, 0, down)).unfold(3, tile, tile).unfold(4, tile, tile)  # (B, C, T, nh, nw, tile, tile)
    wide = tile + 2 * radius
    around = [
        F.pad(x, (radius, radius + right, radius, radius + down)).unfold(3, wide, tile).unfold(4, wide, tile)
        for x in (k, v)
    ]
    rows = [x.permute(0, 3, 4, 2, 5, 6, 1).flatten(3, 5).flatten(0, 2) for x in (padded, *around)]
    mask = _tile_mask(t, h, w, radius, tile, q.device).repeat(q.shape[0], 1, 1)[:, None]
    out = F.scaled_dot_product_attention(*(x[:, None] for x in rows), attn_mask=mask, scale=1.0)[:, 0]
    out = out.unflatten(0, (q.shape[0], padded.shape[3], padded.shape[4])).unflatten(3, (t, tile, tile))
    out = out.permute(0, 6, 3, 1, 4, 2, 5).flatten(5, 6).flatten(3, 4)
    return out[..., :h, :w]


@functools.lru_cache(maxsize=4)
def _tile_mask(t: int, h: int, w: int, radius: int, tile: int, device: torch.device) -> Tensor:
    """(tiles, t*tile^2, t*wide^2) bool: which keys of its tile's margin a query sees."""
    wide, down, right = tile + 2 * radius, -h % tile, -w % tile
    inside = torch.ones(h, w, dtype=torch.bool, device=device)
    inside = F.pad(inside, (radius, radius + right, radius, radius + down))
    inside = inside.unfold(0, wide, tile).unfold(1, wide, tile).flatten(0, 1)  # (tiles, wide, wide)
    near = torch.arange(wide, device=device)[None] - torch.arange(tile, device=device)[:, None]
    near = (near >= 0) & (near <= 2 * radius)
    near = near[:, None, :, None] & near[None, :, None, :]  # (tile, tile, wide, wide)
    return (inside[:, None, None] & near[None]).flatten(3).flatten(1, 2).repeat(1, t, t)


def without_kernel(call: Call) -> Call:
    """Return ``call`` so that it runs as this package's PyTorch code."""

    def run(*tensors: Tensor) -> Tensor:
        keep = op.has_extension, op.cuda.uses_cuda_kernels
        op.has_extension = op.cuda.uses_cuda_kernels = lambda: False
        try:
            return call(*tensors)
        finally:
            op.has_extension, op.cuda.uses_cuda_kernels = keep

    return run


def _with_backward(call: Call) -> Call:
    def run(*tensors: Tensor) -> Tensor:
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in tensors]
            call(*leaves).sum().backward()
        return leaves[0].grad

    return run


def _local(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return local_attention(q, k, v, (q.shape[2] - 1, RADIUS, RADIUS))


def _strided(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return strided_attention(q, k, v, (1, STRIDE, STRIDE))


# Form, our call, rivals by name. The first rival is the plain form, the others are the best of PyTorch.
FORMS = (
    ("grid", grid_attention, {
        "einsum": grid_einsum, "matmul on channels-last views": grid_matmul,
        "fused attention per axis, merged": grid_merged,
    }),
    (f"local {2 * RADIUS + 1}x{2 * RADIUS + 1}, all frames", _local, {
        "SDPA with a mask on tiles": lambda q, k, v: local_sdpa(q, k, v, RADIUS),
        "our tiles in PyTorch": without_kernel(_local),
    }),
    (f"strided {STRIDE}x{STRIDE}, all frames", _strided, {
        "SDPA per residue class": lambda q, k, v: strided_sdpa(q, k, v, STRIDE),
        "matmul per residue class": lambda q, k, v: strided_matmul(q, k, v, STRIDE),
    }),
)  # fmt: skip
_NO_BACKWARD = ("fused attention per axis, merged",)  # its log-sum-exp has no gradient


def _tensors(size: tuple[int, int, int], dtype: torch.dtype, device: str, last: bool) -> list[Tensor]:
    torch.manual_seed(0)
    kind = torch.channels_last_3d if last else torch.contiguous_format
    return [(torch.randn(1, 128, *size) * 0.3).to(device, dtype).to(memory_format=kind) for _ in range(3)]


def _case(form: str, ours: Call, name: str, rival: Call, tensors: list[Tensor], layout: str) -> Case:
    size = ",".join(map(str, tensors[0].shape[2:]))
    dtype = str(tensors[0].dtype).removeprefix("torch.")
    return Case(
        "sparse_attention", f"(1,128,{size})", dtype, 1.0, name, lambda: ours(*tensors), lambda: rival(*tensors),
        f"{form}, {layout}",
    )  # fmt: skip


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield the comparisons of docs/benchmarks.md; ``quick`` keeps the smallest grid."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    for size in SIZES[:1] if quick else SIZES:
        for form, ours, others in FORMS:
            tensors = _tensors(size, dtype, device, last=True)
            for name, rival in others.items():
                if device == "cuda" and name in _NO_BACKWARD:
                    continue  # a CPU operator
                yield _case(form, ours, name, rival, tensors, "channels last")
            if form == "grid":  # the layout of convolutions, and of the paper's public code
                rest = _tensors(size, dtype, device, last=False)
                yield _case(form, ours, "einsum", grid_einsum, rest, "channels first")
            for name, rival in others.items():
                if name not in _NO_BACKWARD:
                    pair = (_with_backward(ours), name, _with_backward(rival))
                    yield _case(f"{form}, forward and backward", *pair, tensors, "channels last")
