"""From one probability per object to a distribution over background and objects."""

import torch
from torch import Tensor

from ...structures import Prompt, VideoState

EPSILON = 1e-7


def full_precision(x: Tensor) -> Tensor:
    """Half-precision tensors as float32; float32 and float64 unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def soft_aggregate(prob: Tensor, active: Tensor) -> Tensor:
    """Soft aggregation of STM (Oh et al., 2019, Eq. 5): background is what no object claims.

    Args:
        prob: (B, O, H, W) independent probabilities.
        active: (B, O) bool; channels of other objects get the logit -inf.

    Returns:
        (B, O + 1, H, W) logits whose softmax is the aggregated distribution.
    """
    background = torch.prod(1 - prob, dim=1, keepdim=True)
    clamped = torch.cat([background, prob], dim=1).clamp(EPSILON, 1 - EPSILON)
    logits = torch.log(clamped / (1 - clamped))
    if bool(active.all()):
        return logits
    off = torch.cat([active.new_zeros(len(active), 1), ~active], dim=1).to(logits.device)
    return logits.masked_fill(off[:, :, None, None], float("-inf"))


def merge_prompt(prob: Tensor, state: VideoState, prompt: Prompt) -> Tensor:
    """Write given masks into predicted probabilities: they are certain, and other objects have none of their pixels.

    Args:
        prob: (B, O_before, H, W) of the objects known before the frame.
        state: state in which the objects of ``prompt`` have been started, O channels.
        prompt: given masks (B, K, H, W).

    Returns:
        (B, O, H, W).
    """
    given = prompt.masks.to(prob) * prompt.valid.to(prob)[:, :, None, None]
    new = prob.new_zeros(len(prob), state.num_objects - prob.shape[1], *prob.shape[-2:])
    merged = torch.cat([prob, new], dim=1).masked_fill((given > 0.5).any(dim=1, keepdim=True), 0)
    channels = torch.tensor([state.ids.channel(v) for v in prompt.ids], device=prob.device)
    return merged.index_add(1, channels, given)
