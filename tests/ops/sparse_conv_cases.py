"""Random sparse convolutions, and what they have to give."""

import torch
import vosplug.ops as ops
from hypothesis import strategies as st
from torch import nn

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def close(got, expected, dtype):
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got.double(), expected.double(), rtol=0, atol=TOLERANCE[dtype] * scale)


def memory(x, kind):
    if kind == "channels_last":
        return x.to(memory_format=torch.channels_last)
    if kind == "sliced":  # strides that belong to no memory format
        wide = x.new_full((x.shape[0], x.shape[1] * 2, x.shape[2], x.shape[3] + 1), float("nan"))
        view = wide[:, ::2, :, 1:]
        view.copy_(x)
        return view
    if kind == "channel_slice":  # channels side by side, pixels further apart than the channels are many
        wide = x.new_full((x.shape[0], x.shape[2], x.shape[3], x.shape[1] + 3), float("nan"))
        view = wide[..., : x.shape[1]].permute(0, 3, 1, 2)
        view.copy_(x)
        return view
    return x.contiguous()


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, "depthwise"]))
    if groups == "depthwise":
        groups = c_in = c_out = draw(st.sampled_from([2, 5, 16, 35]))
    else:
        c_in = groups * draw(st.sampled_from([1, 2, 3, 8, 16, 32, 48]))
        c_out = groups * draw(st.sampled_from([1, 3, 8, 16, 64, 70, 128]))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (3, 3), (3, 3), (2, 3), (5, 1)]))
    plain = draw(st.booleans())
    stride = (1, 1) if plain else draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 1)]))
    dilation = (1, 1) if plain else draw(st.sampled_from([(1, 1), (2, 2), (1, 3)]))
    padding = draw(st.sampled_from([(0, 0), (1, 1), (2, 1)]))
    least = [max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) for i in (0, 1)]
    height, width = draw(st.integers(least[0], least[0] + 12)), draw(st.integers(least[1], least[1] + 12))
    return {
        "shape": (draw(st.integers(1, 3)), c_in, height, width),
        "c_out": c_out,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "relu"])),
        "memory": draw(st.sampled_from(["contiguous", "channels_last", "channels_last", "sliced", "channel_slice"])),
        "dtype": draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64])),
        "policy": draw(st.sampled_from(["random", "random", "sparse", "blob", "zero", "reuse", "full"])),
        "scale": draw(st.sampled_from([1.0, 1.0, 1e4, 1e-4])),
        "seed": draw(st.integers(0, 99)),
    }


def make_policy(kind, batch, height, width):
    if kind == "random":
        return torch.randint(0, 3, (batch, height, width), dtype=torch.uint8)
    if kind == "sparse":
        chosen = torch.rand(batch, height, width)
        return (chosen > 0.5).to(torch.uint8) + (chosen > 0.9).to(torch.uint8)
    if kind == "blob":
        policy = torch.randint(0, 2, (batch, height, width), dtype=torch.uint8)
        policy[:, : height // 2 + 1, : width // 2 + 1] = 2
        return policy
    return torch.full((batch, height, width), {"zero": 0, "reuse": 1, "full": 2}[kind], dtype=torch.uint8)


def build(case):
    torch.manual_seed(case["seed"])
    batch, c_in, height, width = case["shape"]
    groups, (kh, kw), dtype = case["groups"], case["kernel"], case["dtype"]
    scale = min(case["scale"], 1e3) if dtype == torch.float16 else case["scale"]  # float16 ends at 65504
    x = memory((torch.randn(case["shape"]) * scale).to(dtype), case["memory"])
    fan_in = c_in // groups * kh * kw
    weight = (torch.randn(case["c_out"], c_in // groups, kh, kw) / fan_in**0.5).to(dtype)
    bias = torch.randn(case["c_out"]).to(dtype) if case["bias"] else None
    geometry = (case["stride"], case["padding"], case["dilation"], groups)
    out = nn.functional.conv2d(x.float(), weight.float(), None, *geometry)
    policy = make_policy(case["policy"], batch, *out.shape[2:])
    prev = memory(torch.randn(out.shape).to(dtype), case["memory"])
    return x, weight, bias, policy, prev, geometry


def reference(x, weight, bias, policy, prev, geometry, activation, x_prev=None):
    up = [None if t is None else t.double() for t in (x, weight, bias, prev, x_prev)]
    return ops.sparse_conv2d_reference(up[0], up[1], up[2], policy, up[3], *geometry, activation, up[4])
