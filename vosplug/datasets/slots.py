"""From the ids of a data set to the slots of a clip."""

from collections.abc import Sequence

import numpy as np
import torch

from ..structures import ClipSample
from ..utils.masks import VOID


def choose_slots(labels: Sequence[np.ndarray], rng: np.random.Generator, max_objects: int, late_objects: bool,
                 min_pixels: int = 1) -> dict[int, int] | None:
    """Choose objects at random: one that is in the first frame, then others.

    Args:
        labels: T masks (H, W) uint8.
        rng: source of randomness.
        max_objects: how many are chosen at most.
        late_objects: whether objects that are not in the first frame may be among the others.
        min_pixels: an object counts as being in a frame from this number of pixels on.

    Returns:
        id -> first frame, in the order of the slots; None if the first frame has no object.
    """
    first: dict[int, int] = {}
    for t, frame in enumerate(labels if late_objects else labels[:1]):
        for number in np.flatnonzero(np.bincount(frame.ravel(), minlength=256) >= max(1, min_pixels)):
            if number not in (0, VOID):
                first.setdefault(int(number), t)
    leading = [number for number, t in first.items() if t == 0]
    if not leading:
        return None
    chosen = [leading[int(rng.integers(len(leading)))]]
    others = [number for number in first if number != chosen[0]]
    chosen += [others[k] for k in rng.permutation(len(others))[:max_objects - 1]]
    return {number: first[number] for number in chosen}


def make_sample(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], slots: dict[int, int], video: str,
                frame_names: Sequence[str]) -> dict:
    """Return ``dict(inputs, data_samples)``: slots by number, everything else background, void kept.

    Args:
        images: T pictures (H, W, 3) uint8 RGB.
        labels: T masks (H, W) uint8 of ids.
        slots: id -> first frame, as from :func:`choose_slots`.
        video: name of the video.
        frame_names: T names.
    """
    table = np.zeros(256, np.uint8)
    table[VOID] = VOID
    for slot, number in enumerate(slots, 1):
        table[number] = slot
    result = table[np.stack(labels)]
    for slot, first in enumerate(slots.values(), 1):
        result[:first][result[:first] == slot] = 0  # too few pixels to count as its start
    inputs = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    sample = ClipSample(torch.from_numpy(result), tuple(slots.values()), tuple(slots), video, tuple(frame_names))
    return {"inputs": inputs, "data_samples": sample}
