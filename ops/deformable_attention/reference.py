"""Deformable attention written as its equations, with the full matrix of interpolation weights. For tests."""

import torch
from torch import Tensor

from .grid import reference_points


def deformable_attention_reference(
    q, x, offsets, key_weight, value_weight, key_bias=None, value_bias=None, heads=1, scale=None, radius=None,
    bias=None, gate=None
) -> Tensor:
    """Eq. 3 to 7; arguments and result as :func:`vosplug.ops.deformable_attention`."""
    batch, channels, height, width = x.shape
    groups, grid = offsets.shape[1], tuple(offsets.shape[3:])
    points = reference_points((height, width), grid, dtype=x.dtype)
    pixels = torch.stack(torch.meshgrid(*(torch.arange(s, dtype=x.dtype) for s in (height, width)), indexing="ij"), -1)
    moved = (points + offsets.permute(0, 1, 3, 4, 2)).flatten(2, 3)  # (B, S, n, 2)
    tent = (1 - (moved[:, :, :, None] - pixels.reshape(-1, 2)).abs()).clamp(min=0).prod(-1)  # Eq. 4
    split = x.reshape(batch, groups, channels // groups, -1)
    sampled = (split @ tent.transpose(2, 3)).reshape(batch, channels, -1)  # Eq. 3
    key = key_weight @ sampled + (0 if key_bias is None else key_bias[:, None])  # Eq. 5
    value = value_weight @ sampled + (0 if value_bias is None else value_bias[:, None])
    heads_of = lambda t: t.flatten(2).unflatten(1, (heads, -1))  # noqa: E731
    depth = q.shape[1] // heads
    scores = heads_of(q).transpose(2, 3) @ heads_of(key) * (depth**-0.5 if scale is None else scale)
    if radius is not None:
        shift = points.reshape(-1, 2) - pixels.reshape(-1, 1, 2)
        if bias is not None:
            places = torch.arange(-radius, radius + 1, dtype=x.dtype)
            near = (1 - (shift.clamp(-radius, radius)[..., None] - places).abs()).clamp(min=0)  # (L, n, 2, 2r+1)
            maps = heads_of(bias).unflatten(2, (len(places), len(places)))
            scores = scores + torch.einsum("bhvul,lnv,lnu->bhln", maps, near[:, :, 0], near[:, :, 1])
        away = shift.abs().amax(-1).round(decimals=6)
        hidden = (away > radius) & (away > away.amin(-1, keepdim=True))
        scores = scores.masked_fill(hidden, float("-inf"))
    out = heads_of(value) @ scores.softmax(-1).transpose(2, 3)  # Eq. 6
    out = out.flatten(1, 2).unflatten(2, (height, width))
    if gate is not None:
        out[:, : gate.shape[1]] *= gate * gate.sigmoid()  # Eq. 7
    return out
