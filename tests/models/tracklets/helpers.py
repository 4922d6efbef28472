"""A tiny EfficientVIS and clips for it."""

import torch

from vosplug.registry import VIS_SEGMENTORS
from vosplug.structures import VISClipSample


def tiny_config(**options) -> dict:
    """Config of the example of EfficientVIS: 16 channels and two interactions.

    Args:
        options: of the model; of its ``queries``; ``attention`` and ``dynamic_conv`` of the interactions.
    """
    model = VIS_SEGMENTORS.example("EfficientVIS")
    interaction = model["interaction"]
    interaction["attention"] = options.pop("attention", interaction["attention"])
    for head in (interaction["head"], interaction["mask_head"]):
        head["dynamic_conv"] = options.get("dynamic_conv", head["dynamic_conv"])
    options.pop("dynamic_conv", None)
    model["queries"].update(options.pop("queries", {}))
    return {**model, **options}


def tiny_model(seed: int = 0, **options):
    """A tiny model with seeded weights, in evaluation mode."""
    torch.manual_seed(seed)
    return VIS_SEGMENTORS.build(tiny_config(**options)).eval()


def moving_squares(length: int = 3, size: tuple[int, int] = (48, 64), start: int = 0,
                   gone: int | None = None) -> tuple[torch.Tensor, VISClipSample]:
    """Pictures (T, 3, H, W) uint8 of two squares that move, and their sample; the second is absent at ``gone``."""
    masks = torch.zeros(2, length, *size, dtype=torch.bool)
    for t in range(length):
        masks[0, t, 6:22, 4 + 4 * (t + start) : 20 + 4 * (t + start)] = True
        if t != gone:
            masks[1, t, 26:44, 30:50] = True
    pictures = torch.full((length, 3, *size), 60, dtype=torch.uint8)
    for track, colour in enumerate(((220, 40, 40), (40, 40, 220))):
        for channel, value in enumerate(colour):
            pictures[:, channel][masks[track]] = value
    sample = VISClipSample(masks=masks, boxes=boxes_of(masks), present=masks.flatten(2).any(-1),
                           categories=torch.tensor([0, 2]), ids=(1, 2), frame_indices=tuple(range(length)))
    return pictures, sample


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """Boxes (N, T, 4) of masks (N, T, H, W)."""
    boxes = torch.zeros(*masks.shape[:2], 4)
    for n, t in masks.flatten(2).any(-1).nonzero().tolist():
        rows, columns = masks[n, t].any(1).nonzero()[:, 0], masks[n, t].any(0).nonzero()[:, 0]
        boxes[n, t] = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    return boxes
