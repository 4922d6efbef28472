"""What starts the objects of a clip whose other labels nobody reads."""

import numpy as np
import torch
from torch import Tensor

from ...structures import ClipSample, Prompt
from ...utils.regions import random_regions
from .clips import first_frames, frame_prompt


def given_prompt(samples: list[ClipSample], device: torch.device) -> Prompt | None:
    """The masks of the first frames; None if no clip of the batch shows an object there.

    Labels of later frames are not touched, and objects that enter later are never known.
    """
    labels = torch.stack([sample.labels[0] for sample in samples]).to(device).long()
    return frame_prompt(labels, first_frames(samples, never=1).clamp(max=1), 0)


def region_prompt(images: Tensor, seed: int, **options) -> Prompt:
    """Regions of the pictures themselves; no annotation is read.

    Args:
        images: (B, 3, H, W) with values 0..255.
        seed: of the regions.
        options: of :func:`~vosplug.utils.regions.random_regions`.
    """
    rng = np.random.default_rng(seed)
    pictures = images.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    labels = np.stack([random_regions(picture, rng, **options) for picture in pictures])
    count = int(labels.max())
    values = torch.arange(1, count + 1)[:, None, None]
    masks = torch.from_numpy(labels).long()[:, None] == values
    return Prompt(ids=tuple(range(1, count + 1)), masks=masks.to(images.device, torch.float32),
                  valid=masks.flatten(2).any(dim=2))
