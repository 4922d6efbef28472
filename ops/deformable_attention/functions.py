"""Gated deformable attention (deformable DeAOT, section 3.2, Eq. 3 to 7).

Sampling takes a few percent of the time, so PyTorch samples. The attention runs in the compiled kernel in float32
inference on the CPU; elsewhere in PyTorch's fused attention, which is fast once every head lies side by side in memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checks
from . import cuda
from .dense import dense_attention, runs_compiled
from .grid import kept, reference_points
from .window import window_of_points


@kept
def _normal_grid(
    size: tuple[int, int], grid: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Reference points (H_g, W_g, 2) in the coordinates of ``grid_sample``, but (y, x), and what a pixel is in them."""
    pixel = 2 / torch.tensor(size, device=device, dtype=dtype)
    return (reference_points(size, grid, device, dtype) + 0.5) * pixel - 1, pixel


def deformable_sample(x: Tensor, offsets: Tensor) -> Tensor:
    """Resample ``x`` at the shifted points of a reference grid (Eq. 3 and 4).

    Args:
        x: (B, C, H, W).
        offsets: (B, S, 2, H_g, W_g): shift (vertical, horizontal) in pixels; group s moves the s-th C/S channels.

    Returns:
        (B, C, H_g, W_g). Outside the map there are zeros, as Eq. 4 says.
    """
    checks.tensor(x, "x", 4)
    checks.tensor(offsets, "offsets", 5)
    batch, channels, height, width = x.shape
    groups, grid = offsets.shape[1], tuple(offsets.shape[3:])
    checks.shape(offsets, "offsets", (batch, groups, 2, *grid), "(B, S, 2, H_g, W_g)")
    if channels % max(1, groups) or groups < 1:
        raise ValueError(f"offsets: expected a number of groups S that divides C = {channels}, got {groups}")
    if cuda.takes(x, offsets):
        return cuda.deformable_sample_rows(x, offsets).transpose(1, 2).unflatten(2, grid)
    # Positions in float32 at least: half a pixel is lost in bfloat16 beyond column 128.
    precise = torch.float64 if offsets.dtype == torch.float64 else torch.float32
    points, pixel = _normal_grid((height, width), grid, x.device, precise)
    normal = torch.addcmul(points, pixel, offsets.to(precise).permute(0, 1, 3, 4, 2).flatten(0, 1)).flip(-1)
    maps = x.reshape(batch * groups, channels // groups, height, width)
    if x.dtype in (torch.float32, torch.float64):
        normal, kind = normal.to(x.dtype), x.dtype
    else:
        kind = torch.float32
    sampled = F.grid_sample(maps.to(kind), normal, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.to(x.dtype).reshape(batch, channels, *grid)


def deformable_attention(
    q: Tensor,
    x: Tensor,
    offsets: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    key_bias: Tensor | None = None,
    value_bias: Tensor | None = None,
    *,
    heads: int = 1,
    scale: float | None = None,
    radius: int | None = None,
    bias: Tensor | None = None,
    gate: Tensor | None = None,
) -> Tensor:
    """Attention to keys and values that are resampled at learned positions, and gated (Eq. 5 to 7).

    Args:
        q: (B, heads*D, H, W).
        x: (B, C, H, W), the map that is resampled.
        offsets: (B, S, 2, H_g, W_g), in pixels, for a reference grid of H_g x W_g points (H/g x W/g in the paper).
        key_weight: (heads*D, C). value_weight: (heads*DV, C). key_bias, value_bias: (heads*D,), (heads*DV,) or None.
        heads: number of heads.
        scale: factor of the scores, default 1/sqrt(D).
        radius: if given, a query sees only the reference points within so many pixels on each axis (and always the
            nearest): the window of short-term propagation.
        bias: (B, heads*(2*radius+1)^2, H, W) logits of the keys in the window of each query by displacement, rows
            first, interpolated at the displacement to the reference point of a key; or None.
        gate: (B, at most heads*DV, H, W) or None; the first channels of the result are multiplied by its SiLU.

    Returns:
        (B, heads*DV, H, W).

    Raises:
        ValueError: an argument has the wrong type, shape, dtype or device.
    """
    checks.tensor(q, "q", 4)
    checks.tensor(x, "x", 4, like=None if torch.is_autocast_enabled(q.device.type) else q)
    checks.shape(x, "x", (q.shape[0], x.shape[1], *q.shape[2:]), "(B, C, H, W)")
    checks.shape(key_weight, "key_weight", (q.shape[1], x.shape[1]), "(heads*D, C)")
    checks.shape(value_weight, "value_weight", (value_weight.shape[0], x.shape[1]), "(heads*DV, C)")
    if not isinstance(heads, int) or heads < 1 or q.shape[1] % heads or value_weight.shape[0] % heads:
        raise ValueError(f"heads: expected a divisor of {q.shape[1]} and {value_weight.shape[0]} channels, got {heads}")
    if radius is not None and (not isinstance(radius, int) or radius < 0):
        raise ValueError(f"radius: expected a whole number of at least 0 or None, got {radius!r}")
    if bias is not None:
        if radius is None:
            raise ValueError("bias: needs the radius of a window, got radius=None")
        checks.shape(bias, "bias", (q.shape[0], heads * (2 * radius + 1) ** 2, *q.shape[2:]),
                     "(B, heads*(2*radius+1)^2, H, W)")
    if gate is not None:
        gated = min(gate.shape[1], value_weight.shape[0])
        checks.shape(gate, "gate", (q.shape[0], gated, *q.shape[2:]), "(B, at most heads*DV, H, W)")
    size, grid = tuple(q.shape[2:]), tuple(offsets.shape[3:])
    rows = deformable_sample(x, offsets).flatten(2).transpose(1, 2)
    key, value = F.linear(rows, key_weight, key_bias), F.linear(rows, value_weight, value_bias)
    query = q.flatten(2).transpose(1, 2).to(key.dtype)
    scale = (q.shape[1] // heads) ** -0.5 if scale is None else float(scale)
    if radius is None and runs_compiled(query, key, value):
        out = dense_attention(query, [key], [value], heads, scale).transpose(1, 2)
    else:
        split = [_by_head(t, heads) for t in (query, key, value)]
        if radius is None:
            out = F.scaled_dot_product_attention(*split, scale=scale)
        else:
            logits = None if bias is None else _by_head(bias.flatten(2).transpose(1, 2), heads)
            out = window_of_points(*split, size, grid, radius, logits, scale)
        out = out.transpose(2, 3)
    out = out.reshape(q.shape[0], value_weight.shape[0], *size)
    return out if gate is None else torch.cat([out[:, :gated] * F.silu(gate), out[:, gated:]], 1)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """(B, N, heads*D) -> contiguous (B, heads, N, D)."""
    return rows.unflatten(2, (heads, -1)).transpose(1, 2).contiguous()
