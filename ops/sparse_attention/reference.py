"""What grid, local and strided attention compute: dense attention over all cells with a mask. For tests."""

import torch
from torch import Tensor


def connectivity(pattern: str, size: tuple[int, int, int], params: tuple[int, ...], causal: bool) -> Tensor:
    """(T*H*W, T*H*W) bool: whether the row's cell sees the column's (SST, section 3)."""
    t, y, x = (c.reshape(-1) for c in torch.meshgrid(*(torch.arange(s) for s in size), indexing="ij"))
    apart = [c[:, None] - c[None, :] for c in (t, y, x)]
    if pattern == "grid":
        see = sum((d == 0).int() for d in apart) >= 2
    elif pattern == "local":
        see = torch.stack([d.abs() <= r for d, r in zip(apart, params, strict=True)]).all(0)
    else:
        see = torch.stack([d % h == 0 for d, h in zip(apart, params, strict=True)]).all(0)
    return see & (apart[0] >= 0) if causal else see


def sparse_attention_reference(q, k, v, pattern, params, heads=1, scale=1.0, causal=False, labels=None, num_objects=0):
    """Output and affinity (None without labels) as the public functions; memory grows with (T*H*W)^2."""
    size = tuple(q.shape[2:])
    rows = [t.unflatten(1, (heads, -1)).flatten(3).transpose(2, 3) for t in (q, k, v)]
    see = connectivity(pattern, size, tuple(params), causal)
    raw = rows[0] @ rows[1].transpose(-1, -2) * scale
    scores = raw.masked_fill(~see, float("-inf"))
    out = (scores.softmax(-1) @ rows[2]).transpose(2, 3).flatten(1, 2).unflatten(2, size)
    if labels is None:
        return out, None
    frame = torch.arange(size[0]).repeat_interleave(size[1] * size[2])
    earlier = see & (frame[None, :] < frame[:, None])
    flat, parts = labels.flatten(1), []
    for number in range(num_objects):
        mine = earlier & (flat == number)[:, None, None, :]
        parts.append(torch.where(mine, raw, 0.0).amax(-1).clamp(min=0))
    return out, torch.stack(parts, 2).unflatten(3, size)
