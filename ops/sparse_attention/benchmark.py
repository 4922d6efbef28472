"""Benchmark cases of the sparse attentions: SST's grids (three frames, 128 channels)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..benchmark import Case
from . import op, rivals
from .functions import grid_attention, local_attention, strided_attention

SIZES = ((3, 30, 54), (3, 59, 59), (3, 117, 117))
RADIUS, STRIDE = 7, 8

Call = Callable[..., Tensor]


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
        "einsum": rivals.grid_einsum, "matmul on channels-last views": rivals.grid_matmul,
        "fused attention per axis, merged": rivals.grid_merged,
    }),
    (f"local {2 * RADIUS + 1}x{2 * RADIUS + 1}, all frames", _local, {
        "SDPA with a mask on tiles": lambda q, k, v: rivals.local_sdpa(q, k, v, RADIUS),
        "our tiles in PyTorch": without_kernel(_local),
    }),
    (f"strided {STRIDE}x{STRIDE}, all frames", _strided, {
        "SDPA per residue class": lambda q, k, v: rivals.strided_sdpa(q, k, v, STRIDE),
        "matmul per residue class": lambda q, k, v: rivals.strided_matmul(q, k, v, STRIDE),
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
                yield _case(form, ours, "einsum", rivals.grid_einsum, rest, "channels first")
            for name, rival in others.items():
                if name not in _NO_BACKWARD:
                    pair = (_with_backward(ours), name, _with_backward(rival))
                    yield _case(f"{form}, forward and backward", *pair, tensors, "channels last")
