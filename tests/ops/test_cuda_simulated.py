"""The CUDA kernels, compiled as C++ and run on a simulated device: their logic, where there is no GPU."""

import ctypes
import os
import shutil
import subprocess

import pytest
import torch
import vosplug.ops as ops
from vosplug.ops.sparse_attention.cuda import packed, unpacked
from vosplug.ops.sparse_attention.patterns import blocks_of

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


@pytest.fixture(scope="module")
def kernels(root, tmp_path_factory):
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path_factory.mktemp("cuda") / "simulated.so"
    here = root / "tests" / "ops"
    folders = [here, *sorted(root.glob("ops/*/csrc/cuda"))]
    sources = [here / "cuda_simulated.cpp", *sorted(root.glob("ops/*/csrc/cuda/*.cu"))]
    command = [compiler, "-std=c++17", "-O1", "-DVOSPLUG_SIMULATE", "-shared", "-fPIC", "-w", "-x", "c++"]
    command += [*(f"-I{folder}" for folder in folders), *map(str, sources), "-o", str(library)]
    run = subprocess.run(command, capture_output=True, text=True)
    if "_Float16" in run.stderr:
        pytest.skip("needs a compiler with _Float16")
    assert run.returncode == 0, run.stderr
    return ctypes.CDLL(str(library))


def pointer(tensor):
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def numbers(*values):
    return (ctypes.c_int * len(values))(*map(int, values))


def close(got, want, dtype):
    scale = max(1.0, float(want.abs().max()))
    torch.testing.assert_close(got.double(), want.double(), rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding", "dilation"),
    [((16, 72), (3, 3), 1, 1, 1), ((64, 8), (1, 1), 1, 0, 1), ((72, 64), (2, 3), 2, 2, 2)],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_convolution(kernels, dtype, channels, kernel, stride, padding, dilation, in_place):
    torch.manual_seed(0)
    c_in, c_out = channels
    last = {"memory_format": torch.channels_last}
    x = torch.randn(2, c_in, 9, 11).to(dtype).to(**last)
    weight = (torch.randn(c_out, c_in, *kernel) / (c_in * kernel[0] * kernel[1]) ** 0.5).to(dtype)
    bias = torch.randn(c_out)
    size = [(x.shape[2 + i] + 2 * padding - dilation * (kernel[i] - 1) - 1) // stride + 1 for i in (0, 1)]
    policy = torch.randint(0, 3, (2, *size), dtype=torch.uint8)
    prev = torch.randn(2, c_out, *size).to(dtype).to(**last)
    want = ops.sparse_conv2d_reference(
        x.double(), weight.double(), bias.double(), policy, prev.double(), stride, padding, dilation, 1, "relu"
    )
    out = prev.clone() if in_place else torch.full_like(prev, float("nan"))
    shape = numbers(2, 9, 11, c_in, *size, c_out, *kernel, stride, stride, padding, padding, dilation, dilation)
    packed = weight.permute(0, 2, 3, 1).contiguous()
    workspace = torch.empty(policy.numel() + 1, dtype=torch.int32)
    before = None if in_place else prev
    arguments = [pointer(t) for t in (x, packed, bias, policy, before, out, workspace)]
    assert kernels.simulated_conv(shape, int(dtype == torch.float16), *arguments, 1) == 0
    close(out, want, dtype)


CASES = [
    ("grid", (), (3, 9, 11), 32, 1, False, 0),
    ("grid", (), (2, 3, 70), 32, 2, True, 2),
    ("local", (1, 2, 3), (3, 8, 9), 64, 1, False, 2),
    ("local", (0, 3, 1), (2, 8, 9), 32, 1, True, 0),
    ("strided", (1, 2, 2), (3, 7, 9), 128, 1, True, 1),
    ("strided", (2, 3, 1), (3, 6, 5), 32, 2, False, 0),
]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("pattern", "params", "size", "depth", "heads", "causal", "objects"), CASES)
def test_attention(kernels, dtype, pattern, params, size, depth, heads, causal, objects):
    torch.manual_seed(0)
    batch, cells, scale = heads, size[0] * size[1] * size[2], depth**-0.5
    q, k, v = (torch.randn(batch, cells, heads * depth).to(dtype) for _ in range(3))
    labels = torch.randint(-1, objects, (batch, cells), dtype=torch.int32) if objects else None
    maps = [t.double().unflatten(1, size).permute(0, 4, 1, 2, 3) for t in (q, k, v)]
    grid = labels.unflatten(1, size) if objects else None
    want, strongest = ops.sparse_attention_reference(*maps, pattern, params, heads, scale, causal, grid, objects,
                                                     clamp=not causal)
    out = torch.full((batch, cells, heads * depth), float("nan")).to(dtype)
    sums, state = torch.full(out.shape, float("nan")), torch.full((batch, heads, cells, 2), float("nan"))
    least = float("-inf") if causal else 0.0
    best = torch.full((batch, heads, objects, cells), packed(least)) if objects else None
    for some in blocks_of(pattern, size, params, causal, True, q.device):
        counts = (*some.q_index.shape, some.k_index.shape[1], some.rule, *some.radius, objects, some.first, some.last)
        shape = numbers(batch, *size, heads, depth, *counts)
        half = int(dtype == torch.float16)
        arguments = [pointer(t) for t in (q, k, v, some.q_index, some.k_index, labels, out, sums, state, best)]
        assert kernels.simulated_attention(shape, ctypes.c_float(scale), half, *arguments) == 0
    close(out.unflatten(1, size).permute(0, 4, 1, 2, 3), want, dtype)
    if objects:
        affinity, where = (x.unflatten(3, size) for x in unpacked(best))
        assert torch.equal(affinity.isneginf(), strongest.isneginf())
        close(affinity.masked_fill(affinity.isneginf(), 0), strongest.masked_fill(strongest.isneginf(), 0), dtype)
        assert torch.equal(where < 0, affinity <= 0 if least == 0 else affinity.isneginf()) and (where >= 0).any()
        asked = torch.arange(objects)[:, None].expand(batch, heads, objects, cells)
        found = labels[:, None].long().expand(-1, heads, -1).gather(2, where.flatten(2).clamp(min=0).long())
        assert (found.view(batch, heads, objects, cells) == asked)[where.flatten(3) >= 0].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sampling(kernels, dtype):
    torch.manual_seed(0)
    x = torch.randn(2, 32, 7, 9).to(dtype)
    offsets = torch.randn(2, 4, 2, 3, 5) * 3
    offsets[0, 0, 0, 0, 0] = 1e9
    rows = x.permute(0, 2, 3, 1).contiguous()
    out = torch.empty(2, 15, 32, dtype=dtype)
    kind = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}[dtype]
    shape = numbers(2, 7, 9, 32, 4, 3, 5)
    assert kernels.simulated_sample(shape, kind, pointer(rows), pointer(offsets), pointer(out)) == 0
    want = ops.deformable_sample(x.double(), offsets.double()).flatten(2).transpose(1, 2)
    close(out, want, dtype)


def test_wrong_sizes_are_refused(kernels):
    nothing = [None] * 7
    shape = numbers(1, 4, 4, 12, 4, 4, 16, 1, 1, 1, 1, 0, 0, 1, 1)
    assert kernels.simulated_conv(shape, 0, *nothing, 0) != 0
    assert kernels.simulated_sample(numbers(1, 4, 4, 12, 1, 2, 2), 0, None, None, None) != 0
