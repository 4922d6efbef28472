"""Benchmark cases of the sparse convolution: layers of a ResNet-50 on a 480x854 frame."""

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from vosplug.ops import PreparedConv2d, has_extension, triple_sparse_conv2d
from vosplug.ops.benchmark import Case, blob_policy, random_policy
from vosplug.ops.library import has_dense_kernels
from vosplug.ops.sparse_conv.indexed import active_index, sparse_conv2d_indexed_

# C_in, C_out, kernel, H, W
LAYERS = (
    (256, 256, 3, 120, 214),
    (512, 512, 3, 30, 54),
    (256, 256, 3, 60, 107),
    (64, 64, 3, 120, 214),
    (256, 64, 1, 120, 214),
    (64, 256, 1, 120, 214),
    (1024, 256, 1, 30, 54),
)
DENSITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def _dense(x: Tensor, weight: Tensor, bias: Tensor):
    """Return the fastest dense convolution there is and its name: oneDNN with weights packed ahead on the CPU."""
    pad = [weight.shape[2] // 2] * 2
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return (lambda: F.relu(F.conv2d(x, weight, bias, padding=pad))), "dense conv2d, channels_last"
    if not has_dense_kernels(x.dtype):  # oneDNN's own path for the type is many times slower than this
        run, rival = _dense_of(x.shape, weight.float(), bias.float())
        return (lambda: run(x.float()).to(x.dtype)), f"{rival}, in float32 and back"
    run, rival = _dense_of(x.shape, weight, bias)
    return (lambda: run(x)), rival


def _dense_of(size: torch.Size, weight: Tensor, bias: Tensor):
    """oneDNN's convolution of inputs of ``size``, and its name."""
    mkldnn, pad = torch.ops.mkldnn, [weight.shape[2] // 2] * 2
    packed = mkldnn._reorder_convolution_weight(
        weight.contiguous(memory_format=torch.channels_last), pad, [1, 1], [1, 1], 1, list(size)
    )
    args = (packed, bias, pad, [1, 1], [1, 1], 1, "relu", [], "")
    return (lambda x: mkldnn._convolution_pointwise(x, *args)), "dense oneDNN, channels_last, weights packed"


def _tensors(c_in, c_out, kernel, height, width, dtype, device):
    torch.manual_seed(0)
    last = {"memory_format": torch.channels_last}
    x = torch.randn(1, c_in, height, width).to(device, dtype).to(**last)
    weight = (torch.randn(c_out, c_in, kernel, kernel) / (c_in * kernel**2) ** 0.5).to(device, dtype)
    out = torch.randn(1, c_out, height, width).to(device, dtype).to(**last)
    return x, weight, torch.randn(c_out).to(device, dtype), out


def _layer(layer, dtype, density, policy_of, device, form="in place") -> Case:
    c_in, c_out, kernel, height, width = layer
    x, weight, bias, out = _tensors(*layer, dtype, device)
    policy = policy_of(height, width, density).to(device)
    dense, rival = _dense(x, weight, bias)
    pad = kernel // 2
    prepared = PreparedConv2d(weight, bias, padding=pad, activation="relu")
    if form == "in place":
        ours = lambda: prepared(x, policy, out)  # noqa: E731
    elif form == "direct kernel":
        prepared.packed = replace(prepared.packed, winograd=None)
        ours = lambda: prepared(x, policy, out)  # noqa: E731
    elif form == "new output":
        ours = lambda: triple_sparse_conv2d(x, weight, bias, policy, out, 1, pad, activation="relu")  # noqa: E731
    else:  # PyTorch code, sites found anew
        ours = lambda: sparse_conv2d_indexed_(  # noqa: E731
            x, weight, bias, policy, active_index(policy), out, (1, 1), (pad, pad), (1, 1), 1, True, None
        )
    kind = "random mask" if policy_of is random_policy else "blob mask"
    shape = f"{kernel}x{kernel} {c_in}->{c_out} @{height}x{width}"
    return Case("sparse_conv2d", shape, _NAMES[dtype], density, rival, ours, dense, f"{form}, {kind}")


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield the comparisons of docs/benchmarks.md; ``quick`` keeps one layer of each kind."""
    layers = LAYERS[3:5] if quick else LAYERS
    for dtype in (torch.float32, torch.bfloat16):
        for layer in layers:
            yield _layer(layer, dtype, 0.1, blob_policy, device)
    if quick:
        return
    if has_extension() and device == "cpu":
        yield _layer(LAYERS[0], torch.float32, 0.1, blob_policy, device, "direct kernel")
    for dtype in (torch.float32, torch.bfloat16):
        yield _layer(LAYERS[0], dtype, 0.1, random_policy, device)
    yield _layer(LAYERS[0], torch.float32, 0.1, blob_policy, device, "PyTorch code")


def sweep(device: str) -> Iterator[Case]:
    """Yield every layer at every density, with a new output and in place: where sparse meets dense."""
    for dtype in (torch.float32, torch.bfloat16):
        for form in ("new output", "in place"):
            for layer in LAYERS:
                for density in DENSITIES:
                    yield _layer(layer, dtype, density, blob_policy, device, form)
