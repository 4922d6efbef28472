"""Benchmark cases of deformable attention: DeAOT-T's grid of a 480x854 frame."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from vosplug.ops import deformable_attention, reference_points
from vosplug.ops.benchmark import Case


def plain(q, x, offsets, key_weight, value_weight, heads):
    """The usual way: grid_sample per group, 1x1 convolutions, attention on views of the heads."""
    batch, channels, height, width = x.shape
    groups, grid = offsets.shape[1], offsets.shape[3:]
    points = reference_points((height, width), grid, x.device) + offsets.permute(0, 1, 3, 4, 2).flatten(0, 1)
    normal = ((points * 2 + 1) / torch.tensor([height, width], device=x.device) - 1).flip(-1)
    sampled = F.grid_sample(x.reshape(batch * groups, -1, height, width), normal, align_corners=False)
    sampled = sampled.reshape(batch, channels, *grid)
    views = [q, F.conv2d(sampled, key_weight[:, :, None, None]), F.conv2d(sampled, value_weight[:, :, None, None])]
    views = [t.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3) for t in views]
    out = F.scaled_dot_product_attention(*views)
    return out.transpose(2, 3).reshape(batch, -1, height, width)


def cases(device: str, quick: bool) -> Iterator[Case]:
    """Yield the comparisons of docs/benchmarks.md."""
    for channels, factor in ((128, 1), (128, 2), (256, 1), (256, 2))[: 2 if quick else 4]:
        torch.manual_seed(0)
        size, heads, groups = (30, 54), channels // 32, 4
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        q, x = (torch.randn(1, channels, *size).to(device, dtype) for _ in range(2))
        offsets = torch.randn(1, groups, 2, size[0] // factor, size[1] // factor).to(device, dtype)
        weights = [(torch.randn(channels, channels) / channels**0.5).to(device, dtype) for _ in range(2)]
        args = (q, x, offsets, *weights)
        name = str(dtype).removeprefix("torch.")
        yield Case(
            "deformable_attention", f"C={channels} @30x54, {heads} heads, g={factor}", name, 1.0,
            "grid_sample and SDPA on head views", lambda a=args, h=heads: deformable_attention(*a, heads=h),
            lambda a=args, h=heads: plain(*a, h),
        )  # fmt: skip
