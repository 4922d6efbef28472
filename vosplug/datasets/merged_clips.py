"""Two clips as one: more objects, and occlusion."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..registry import DATASETS
from ..structures import ClipSample
from ..utils.errors import ConfigError
from ..utils.masks import VOID
from .sampling import ClipRequest


@DATASETS.register_module()
class MergedClips:
    """Clips, over which the objects of a second clip of the same set are pasted, frame by frame, as AOT trains.

    Args:
        dataset: config of a clip data set (or the object), whose clips have one size.
        probability: how often a clip is merged (AOT: 1.0 for static images, 0.3 for videos).
        max_objects: of the merged clip, chosen at random; the others become background.
        min_pixels: an object that shows fewer pixels in its first frame, once others lie over it, becomes background
            (AOT: more than 100).

    Attributes:
        source_ranges: those of the data set, if it has them.
    """

    def __init__(self, dataset: Any, probability: float = 1.0, max_objects: int = 10, min_pixels: int = 101):
        if not 0 <= probability <= 1:
            raise ConfigError(f"MergedClips needs a probability in [0, 1], got {probability}")
        if max_objects < 1 or min_pixels < 1:
            raise ConfigError(f"MergedClips needs max_objects and min_pixels >= 1, got {max_objects} and {min_pixels}")
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.probability, self.max_objects, self.min_pixels = probability, max_objects, min_pixels
        self.source_ranges = getattr(self.dataset, "source_ranges", None)

    @property
    def label_free(self) -> bool:
        """Clips are pasted by the masks of every frame: only where time stands still are those the masks of the first.

        See :class:`~.static_image_clips.StaticImageClips`.
        """
        return bool(getattr(self.dataset, "stills", False))

    @property
    def opens_masks(self) -> bool:
        """Whether the data set does."""
        return getattr(self.dataset, "opens_masks", True)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: ClipRequest) -> dict:
        clip = self.dataset[request]
        rng = np.random.default_rng((request.seed, request.index, 1))
        if rng.random() >= self.probability:
            return clip
        other = replace(request, index=int(rng.integers(len(self))), seed=int(rng.integers(2**63)))
        return self._merged(clip, self.dataset[other], rng) or clip

    def _merged(self, clip: dict, other: dict, rng: np.random.Generator) -> dict | None:
        """Both in one; None if no object of the first frame is large enough."""
        below, above = clip["data_samples"], other["data_samples"]
        if below.labels.shape != above.labels.shape:
            raise ConfigError(f"MergedClips needs clips of one size, got {tuple(below.labels.shape)} and "
                              f"{tuple(above.labels.shape)}: let the transforms end with a crop to a fixed size")
        pasted = (above.labels > 0) & (above.labels != VOID)
        inputs = torch.where(pasted[:, None], other["inputs"], clip["inputs"])
        labels = torch.where(pasted, above.labels + below.num_objects, below.labels)
        first = [*below.first_frames, *above.first_frames]
        shown = [int((labels[t] == slot).sum()) for slot, t in enumerate(first, 1)]
        large = [slot for slot, count in enumerate(shown, 1) if count >= self.min_pixels]
        if not any(first[slot - 1] == 0 for slot in large):
            return None
        chosen = self._chosen(large, first, rng)
        ids = tuple(range(1, len(chosen) + 1))
        sample = ClipSample(renumbered(labels, chosen), tuple(first[slot - 1] for slot in chosen), ids,
                            f"{below.video} + {above.video}", below.frame_names)
        return {"inputs": inputs, "data_samples": sample}

    def _chosen(self, slots: list[int], first: list[int], rng: np.random.Generator) -> list[int]:
        """At most ``max_objects`` of the slots in random order, one of the first frame among them."""
        order = [slots[place] for place in rng.permutation(len(slots))]
        leading = next(slot for slot in order if first[slot - 1] == 0)
        return [leading, *(slot for slot in order if slot != leading)][: self.max_objects]


def renumbered(labels: Tensor, slots: list[int]) -> Tensor:
    """Labels in which ``slots`` are 1, 2, ... and all others background; void stays."""
    table = torch.zeros(256, dtype=torch.uint8)
    table[VOID] = VOID
    for number, slot in enumerate(slots, 1):
        table[slot] = number
    return table[labels.long()]
