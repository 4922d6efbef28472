"""What turns labelled clips into prompts and targets."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...structures import ClipSample, Prompt
from ...utils.masks import VOID


def first_frames(samples: list[ClipSample], never: int) -> Tensor:
    """(B, O) frame at which each slot is prompted; ``never`` for slots that a clip does not have. On the CPU."""
    slots = max((s.num_objects for s in samples), default=0)
    first = torch.full((len(samples), slots), never, dtype=torch.long)
    for row, sample in zip(first, samples, strict=True):
        row[: sample.num_objects] = torch.tensor(sample.first_frames, dtype=torch.long)
    return first


def clip_prompts(labels: Tensor, first: Tensor) -> list[Prompt | None]:
    """The prompt of each frame: the slots that start there in any clip; ``labels`` are (B, T, H, W)."""
    return [frame_prompt(labels[:, t], first, t) for t in range(labels.shape[1])]


def frame_prompt(labels: Tensor, first: Tensor, t: int) -> Prompt | None:
    """Prompt of the slots that start at frame ``t`` of any clip; ``labels`` (B, H, W) of that frame."""
    slots = (first == t).any(dim=0).nonzero().flatten().tolist()
    if not slots:
        return None
    ids = tuple(slot + 1 for slot in slots)
    values = torch.tensor(ids, device=labels.device)[None, :, None, None]
    return Prompt(ids=ids, masks=(labels[:, None] == values).float(), valid=(first == t)[:, slots])


def hide_unstarted(labels: Tensor, first: Tensor, t: int) -> Tensor:
    """Labels (B, H, W) in which objects that are prompted after frame ``t`` are void: nobody can know of them yet."""
    late = first > t
    if not late.any():
        return labels
    void = torch.zeros(len(first), VOID + 1, dtype=torch.bool)
    void[:, 1 : first.shape[1] + 1] = late
    hidden = void.to(labels.device).gather(1, labels.flatten(1)).view_as(labels)
    return labels.masked_fill(hidden, VOID)


def to_channels(labels: Tensor, ids: tuple[int, ...]) -> Tensor:
    """Labels by slot (B, H, W) as labels by channel: channels follow the order in which slots were prompted."""
    if ids == tuple(range(1, len(ids) + 1)):
        return labels
    table = torch.arange(VOID + 1)
    for channel, slot in enumerate(ids, start=1):
        table[slot] = channel
    return table.to(labels.device)[labels]


def resized_to(logits: Tensor, size: tuple[int, int], preprocessor: nn.Module) -> Tensor:
    """Logits (B, O + 1, h, w) at the size (H, W) of labels, by the interpolation of the preprocessor."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=preprocessor.align_corners)
