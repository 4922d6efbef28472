"""From one probability per object to a distribution over background and objects."""

import torch
from torch import Tensor

from ...structures import Prompt

EPSILON = 1e-7


def full_precision(x: Tensor) -> Tensor:
    """Half-precision tensors as float32; float32 and float64 unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def clamped_logit(prob: Tensor) -> Tensor:
    """Log-odds of probabilities that are first kept a little away from 0 and 1, so far that they are finite."""
    epsilon = EPSILON if prob.dtype in (torch.float32, torch.float64) else torch.finfo(prob.dtype).eps
    clamped = prob.clamp(epsilon, 1 - epsilon)
    return torch.log(clamped / (1 - clamped))


def soft_aggregate(prob: Tensor, active: Tensor) -> Tensor:
    """Soft aggregation of STM (Oh et al., 2019, Eq. 5): background is what no object claims.

    Args:
        prob: (B, O, H, W) independent probabilities.
        active: (B, O) bool; channels of other objects get the logit -inf.

    Returns:
        (B, O + 1, H, W) logits whose softmax is the aggregated distribution.
    """
    background = torch.prod(1 - prob, dim=1, keepdim=True)
    return hide_inactive(clamped_logit(torch.cat([background, prob], dim=1)), active)


def hide_inactive(logits: Tensor, active: Tensor) -> Tensor:
    """(B, O + 1, H, W) logits with -inf in the channels of objects that are not ``active`` (B, O)."""
    if bool(active.all()):
        return logits
    off = torch.cat([active.new_zeros(len(active), 1), ~active], dim=1).to(logits.device)
    return logits.masked_fill(off[:, :, None, None], float("-inf"))


def winners(logits: Tensor) -> Tensor:
    """Logits (B, O + 1, H, W) -> (B, H, W) uint8 (int64 beyond 254 objects), the channel of the largest one.

    Of several that are equal the first one; background where one is NaN. On a CPU whole planes are compared, which is
    ten times as fast as an argmax over channels.
    """
    count = logits.shape[1]
    if count > 255 or logits.device.type != "cpu":
        return logits.argmax(dim=1).to(torch.uint8 if count <= 255 else torch.int64)
    first = torch.arange(count, 0, -1, dtype=torch.uint8)[:, None, None]
    best = (logits == logits.amax(dim=1, keepdim=True)).view(torch.uint8)
    return (count - (best * first).amax(dim=1)) % count


def one_hot(labels: Tensor, objects: int) -> Tensor:
    """(B, H, W) labels by channel -> (B, O, H, W) bool."""
    return labels[:, None] == torch.arange(1, objects + 1, device=labels.device, dtype=labels.dtype)[:, None, None]


def hard_masks(logits: Tensor) -> Tensor:
    """Logits (B, O + 1, H, W) -> (B, O, H, W) masks of the same type: 1 for the most probable object, 0 elsewhere."""
    return one_hot(winners(logits), logits.shape[1] - 1).to(logits.dtype)


def write_prompt(logits: Tensor, prompt: Prompt, ids: tuple[int, ...], active: Tensor) -> Tensor:
    """Make given masks certain: their pixels are their object's, and no other pixel is.

    Args:
        logits: (B, O_before + 1, H, W) of the objects known before the frame.
        prompt: given masks.
        ids: id of each of the O channels, those of the prompt included; new ones come last.
        active: (B, O) bool: which objects exist in which video now.

    Returns:
        (B, O + 1, H, W) logits.
    """
    given = prompt.at(tuple(logits.shape[-2:])).to(logits.device) > 0.5
    started = prompt.valid.to(logits.device)[:, :, None, None]
    given = given & started
    never, surely = certain_logits(logits)
    new = never.expand(-1, len(ids) + 1 - logits.shape[1], -1, -1)
    logits = torch.cat([logits, new], dim=1)
    logits = torch.where(given.any(dim=1, keepdim=True), never, logits)
    channels = torch.tensor([1 + ids.index(value) for value in prompt.ids], device=logits.device)
    own = torch.where(given, surely, never)
    own = torch.where(started, own, logits.index_select(1, channels))
    return hide_inactive(logits.index_copy(1, channels, own), active)


def certain_logits(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, 1, H, W) of what is certainly not there, and of what certainly is, beside those of a method.

    They are those that aggregation makes of the probabilities 0 and 1, and beyond all others where a method's own lie
    further out.
    """
    never, surely = clamped_logit(logits.new_tensor([0.0, 1.0]))
    lowest = logits.masked_fill(logits.isneginf(), 0).amin(dim=1, keepdim=True)
    highest = logits.amax(dim=1, keepdim=True)
    return (torch.where(lowest < never, lowest + never, never),
            torch.where(highest > surely, highest + surely, surely))


def odds(prob: Tensor, active: Tensor) -> Tensor:
    """FRTM's merging: a softmax over the odds p / (1 - p), with the smallest 1 - p as background.

    Args:
        prob: (B, O, H, W) independent probabilities.
        active: (B, O) bool; other objects get the probability 0.

    Returns:
        (B, O + 1, H, W) probabilities. Odds reach 1e7, so they are never handed on.
    """
    clamped = _with_smallest_background(prob, active)
    return hide_inactive(clamped / (1 - clamped), active).softmax(dim=1)


def keep_winners(prob: Tensor, active: Tensor) -> Tensor:
    """Leave an object its probability only where it is the most probable; the rest is background.

    Args:
        prob: (B, O + 1, H, W).
        active: (B, O) bool.

    Returns:
        (B, O + 1, H, W) log-probabilities.
    """
    won = prob[:, 1:] * hard_masks(prob)
    both = torch.cat([1 - won.sum(dim=1, keepdim=True), won], dim=1)
    return log_probability(both, active)


def log_probability(prob: Tensor, active: Tensor) -> Tensor:
    """(B, O + 1, H, W) probabilities -> their logarithms, finite for the ``active`` objects (B, O), else -inf."""
    return hide_inactive(prob.clamp(EPSILON, 1 - EPSILON).log(), active)


def normalised_odds(prob: Tensor, active: Tensor) -> Tensor:
    """TTVOS's merging: odds p / (1 - p) that are made to sum to one, with the smallest 1 - p as background.

    Arguments and result are those of :func:`soft_aggregate`: the softmax of log-odds normalises odds.
    """
    clamped = _with_smallest_background(prob, active)
    return hide_inactive((clamped / (1 - clamped)).log(), active)


def _with_smallest_background(prob: Tensor, active: Tensor) -> Tensor:
    """(B, O, H, W) -> (B, O + 1, H, W): the smallest 1 - p of the active objects comes first; kept off 0 and 1."""
    prob = prob * active.to(prob)[:, :, None, None]
    largest = prob.amax(dim=1, keepdim=True) if prob.shape[1] else prob.new_zeros(len(prob), 1, *prob.shape[-2:])
    return torch.cat([1 - largest, prob], dim=1).clamp(EPSILON, 1 - EPSILON)
