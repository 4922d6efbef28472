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


def sparse_attention_reference(
    q, k, v, pattern, params, heads=1, scale=1.0, causal=False, labels=None, num_objects=0, affinity_frames=None,
    clamp=True, with_lse=False,
):  # fmt: skip
    """Results as those of the public functions, affinity None without labels; memory grows with (T*H*W)^2.

    The frames of q are the last of those of k.
    """
    size, own = tuple(k.shape[2:]), tuple(q.shape[2:])
    rows = [t.unflatten(1, (heads, -1)).flatten(3).transpose(2, 3) for t in (q, k, v)]
    asking = own[0] * own[1] * own[2]
    see = connectivity(pattern, size, tuple(params), causal)[-asking:]
    raw = rows[0] @ rows[1].transpose(-1, -2) * scale
    scores = raw.masked_fill(~see, float("-inf"))
    out = (scores.softmax(-1) @ rows[2]).transpose(2, 3).flatten(1, 2).unflatten(2, own)
    affinity = None
    if labels is not None:
        frame = torch.arange(size[0]).repeat_interleave(size[1] * size[2])
        earlier = see & (frame[None, :] < frame[-asking:, None])
        flat, parts = labels.flatten(1), []
        for number in range(num_objects):
            mine = earlier & (flat == number)[:, None, None, :]
            best = torch.where(mine, raw, float("-inf")).amax(-1)
            parts.append(best.clamp(min=0) if clamp else best)
        affinity = torch.stack(parts, 2).unflatten(3, own)[:, :, :, -(affinity_frames or own[0]) :]
    return (out, affinity, scores.logsumexp(-1).unflatten(2, own)) if with_lse else (out, affinity)
