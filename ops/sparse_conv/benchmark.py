"""Benchmark cases of the sparse convolution: layers of a ResNet-50 on a 480x854 frame."""

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..benchmark import Case, blob_policy, random_policy
from ..library import has_dense_kernels
from . import op
from .indexed import sparse_conv2d_indexed_
from .prepared import PreparedBottleneck, PreparedConv2d
from .sites import Sites

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
BLOCKS = ((256, 64, 120, 214), (512, 128, 60, 107), (1024, 256, 30, 54))
DENSITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def _dense(x: Tensor, weight: Tensor, bias: Tensor, activation: str = "relu"):
    """Return the fastest dense convolution there is and its name: oneDNN with weights packed ahead on the CPU."""
    pad = [weight.shape[2] // 2] * 2
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        run = F.relu if activation == "relu" else (lambda t: t)
        return (lambda t=x: run(F.conv2d(t, weight, bias, padding=pad))), "dense conv2d, channels_last"
    if not has_dense_kernels(x.dtype):  # oneDNN's own path for the type is many times slower than this
        run, rival = _dense(x.float(), weight.float(), bias.float(), activation)
        return (lambda t=x: run(t.float()).to(x.dtype)), f"{rival}, in float32 and back"
    mkldnn, size = torch.ops.mkldnn, list(x.shape)
    packed = mkldnn._reorder_convolution_weight(
        weight.contiguous(memory_format=torch.channels_last), pad, [1, 1], [1, 1], 1, size
    )
    call = lambda t=x: mkldnn._convolution_pointwise(  # noqa: E731
        t, packed, bias, pad, [1, 1], [1, 1], 1, activation, [], ""
    )
    return call, "dense oneDNN, channels_last, weights packed"


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
        from .functions import triple_sparse_conv2d

        ours = lambda: triple_sparse_conv2d(x, weight, bias, policy, out, 1, pad, activation="relu")  # noqa: E731
    else:  # PyTorch code, sites found anew
        ours = lambda: sparse_conv2d_indexed_(  # noqa: E731
            x, weight, bias, policy, op.active_index(policy), out, (1, 1), (pad, pad), (1, 1), 1, True, None
        )
    kind = "random mask" if policy_of is random_policy else "blob mask"
    shape = f"{kernel}x{kernel} {c_in}->{c_out} @{height}x{width}"
    return Case("sparse_conv2d", shape, _NAMES[dtype], density, rival, ours, dense, f"{form}, {kind}")


def _dense_bottleneck(x: Tensor, weights: list[Tensor], biases: list[Tensor]):
    """The bottleneck as three calls of oneDNN: the last adds the shortcut and applies its ReLU by itself."""
    if not has_dense_kernels(x.dtype):
        run = _dense_bottleneck(x.float(), [w.float() for w in weights], [b.float() for b in biases])
        return lambda t=x: run(t.float()).to(x.dtype)
    mkldnn, planes = torch.ops.mkldnn, weights[0].shape[0]
    (first, _), (second, _) = _dense(x, weights[0], biases[0]), _dense(x[:, :planes], weights[1], biases[1])
    packed = mkldnn._reorder_convolution_weight(
        weights[2].contiguous(memory_format=torch.channels_last), [0, 0], [1, 1], [1, 1], 1,
        [1, planes, *x.shape[2:]]
    )
    return lambda t=x: mkldnn._convolution_pointwise.binary(
        second(first(t)), t, packed, biases[2], [0, 0], [1, 1], [1, 1], 1, "add", 1.0, "relu", [], ""
    )


def _block(block, dtype, density, device) -> Case:
    channels, planes, height, width = block
    shapes = [(channels, planes, 1), (planes, planes, 3), (planes, channels, 1)]
    tensors = [_tensors(*s, height, width, dtype, device) for s in shapes]
    x, hidden, out = tensors[0][0], tensors[0][3], tensors[2][3]
    policy = blob_policy(height, width, density).to(device)
    rival = _dense(*tensors[0][:3])[1]
    if device == "cpu" and torch.backends.mkldnn.is_available():
        dense = _dense_bottleneck(x, [t[1] for t in tensors], [t[2] for t in tensors])
    else:
        (first, _), (second, _) = (_dense(t[0], t[1], t[2]) for t in tensors[:2])
        third, _ = _dense(tensors[2][0], tensors[2][1], tensors[2][2], "none")
        dense = lambda: F.relu(third(second(first())) + x)  # noqa: E731
    prepared = PreparedBottleneck([(t[1], t[2]) for t in tensors])
    sites = Sites.from_policy(policy)
    shape = f"bottleneck {channels}/{planes} @{height}x{width}"
    ours = lambda: prepared(x, sites, hidden, out)  # noqa: E731
    return Case("sparse_conv2d", shape, _NAMES[dtype], density, rival, ours, dense, "in place, blob mask, shared sites")


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield the comparisons of docs/benchmarks.md; ``quick`` keeps one layer of each kind."""
    layers = LAYERS[3:5] if quick else LAYERS
    blocks = BLOCKS[2:] if quick else BLOCKS
    for dtype in (torch.float32, torch.bfloat16):
        for layer in layers:
            yield _layer(layer, dtype, 0.1, blob_policy, device)
        for block in blocks:
            yield _block(block, dtype, 0.1, device)
    if quick:
        return
    if op.has_extension() and device == "cpu":
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
