"""The operators on a CUDA device: as PyTorch code, and, where they are built, with the CUDA kernels (make test-gpu)."""

import pytest
import torch
import vosplug.ops as ops
from vosplug.ops import library
from vosplug.ops.deformable_attention import cuda as deformable_cuda

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}


@pytest.fixture(params=["kernels", "PyTorch"])
def kernels(request, monkeypatch):
    """Whether the CUDA kernels are asked for."""
    wanted = request.param == "kernels"
    if wanted and not library.has_cuda_kernels():
        pytest.skip("needs the CUDA kernels (python ops/build.py with a CUDA build of torch and nvcc)")
    monkeypatch.setenv("VOSPLUG_CUDA_KERNELS", "1" if wanted else "0")
    monkeypatch.setattr(deformable_cuda, "_ENABLED", wanted)
    return wanted


def close(got, want, dtype):
    scale = max(1.0, float(want.abs().max()))
    torch.testing.assert_close(got.double().cpu(), want, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "kernel", "stride"), [((64, 128), 3, 1), ((128, 64), 1, 1), ((40, 72), 3, 2)])
def test_convolution(kernels, dtype, channels, kernel, stride):
    torch.manual_seed(0)
    x = torch.randn(2, channels[0], 37, 53).to(dtype)
    weight = (torch.randn(channels[1], channels[0], kernel, kernel) / (channels[0] * kernel**2) ** 0.5).to(dtype)
    bias = torch.randn(channels[1]).to(dtype)
    size = [(n + 2 * (kernel // 2) - kernel) // stride + 1 for n in x.shape[2:]]
    policy = torch.randint(0, 3, (2, *size), dtype=torch.uint8)
    prev = torch.randn(2, channels[1], *size).to(dtype)
    up = [t.double() for t in (x, weight, bias, prev)]
    want = ops.sparse_conv2d_reference(*up[:3], policy, up[3], stride, kernel // 2, activation="relu")
    device = [t.cuda() for t in (x, weight, bias, policy, prev)]
    got = ops.triple_sparse_conv2d(*device, stride, kernel // 2, activation="relu")
    close(got, want, dtype)
    last = device[0].to(memory_format=torch.channels_last)
    layer = ops.PreparedConv2d(*device[1:3], stride=stride, padding=kernel // 2, activation="relu")
    out = device[4].clone(memory_format=torch.channels_last)
    close(layer(last, ops.Sites.from_policy(device[3]), out), want, dtype)


def test_convolution_in_a_cuda_graph(kernels):
    if not kernels:
        pytest.skip("PyTorch code waits for the number of sites")
    x = torch.randn(1, 64, 40, 50, device="cuda", dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3, device="cuda", dtype=torch.bfloat16) / 24
    policy = torch.zeros(1, 40, 50, dtype=torch.uint8, device="cuda")
    out = torch.zeros_like(x)
    from vosplug.ops.sparse_conv.cuda import sparse_conv2d_cuda_

    run = lambda: sparse_conv2d_cuda_(x, weight, None, policy, None, out, (1, 1), (1, 1), (1, 1), False)  # noqa: E731
    run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    policy[:, 10:20, 5:25] = 2  # another number of sites than when it was captured
    graph.replay()
    want = ops.sparse_conv2d_reference(*(t.double().cpu() for t in (x, weight)), None, policy.cpu(), None, padding=1)
    close(out, want, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("depth", [16, 32, 64, 128])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(kernels, dtype, depth, causal):
    torch.manual_seed(0)
    size, heads = (3, 13, 21), 2
    q, k, v = (torch.randn(2, heads * depth, *size).to(dtype) for _ in range(3))
    labels = torch.randint(-1, 3, (2, *size))
    options = {"heads": heads, "scale": depth**-0.5, "causal": causal, "num_objects": 3}
    forms = (("grid", [], ops.grid_attention), ("local", [1, 3, 2], ops.local_attention),
             ("strided", [1, 2, 3], ops.strided_attention))  # fmt: skip
    for pattern, params, call in forms:
        up = [t.double() for t in (q, k, v)]
        want = ops.sparse_attention_reference(*up, pattern, params, labels=labels, **options)
        tensors = [t.cuda() for t in (q, k, v)]
        got = call(*tensors, *([params] if params else []), labels=labels.cuda(), **options)
        close(got[0], want[0], dtype)
        close(got[1], want[1], dtype)


def test_attention_gradients_follow_the_forward_pass(kernels):
    torch.manual_seed(0)
    leaves = [torch.randn(1, 64, 2, 9, 11).bfloat16().cuda().requires_grad_() for _ in range(3)]
    ops.grid_attention(*leaves, heads=2, scale=0.2).square().sum().backward()
    up = [t.detach().double().cpu().requires_grad_() for t in leaves]
    ops.sparse_attention_reference(*up, "grid", [], 2, 0.2)[0].square().sum().backward()
    for got, want in zip(leaves, up, strict=True):
        close(got.grad, want.grad, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_deformable_attention(kernels, dtype):
    torch.manual_seed(0)
    q, x = (torch.randn(2, 64, 15, 27).to(dtype) for _ in range(2))
    offsets = (torch.randn(2, 4, 2, 7, 13) * 2).to(dtype)
    weights = [(torch.randn(64, 64) / 8).to(dtype) for _ in range(2)]
    up = [t.double() for t in (q, x, offsets, *weights)]
    want = ops.deformable_attention_reference(*up, heads=2)
    with torch.no_grad():
        got = ops.deformable_attention(*(t.cuda() for t in (q, x, offsets, *weights)), heads=2)
    torch.testing.assert_close(got.double().cpu(), want, rtol=0, atol=3 * TOLERANCE[dtype])
