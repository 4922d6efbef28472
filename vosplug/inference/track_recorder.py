"""Collects the tracks of a video, masks as run lengths."""

from dataclasses import dataclass, field

import numpy as np
import torch
from pycocotools import mask as coco
from torch import Tensor

from ..models.tracklets.boxes import paste_masks
from ..models.tracklets.linking import ClipTracks


@dataclass
class _Track:
    """What is known of one track: sums of class scores over the frames with a mask, and run lengths by frame."""

    scores: Tensor
    masks: dict[int, dict] = field(default_factory=dict)


class TrackRecorder:
    """The tracks of one video, clip by clip. Holds run lengths and sums of scores, no pictures.

    A track's category is the class with the highest mean score over the frames that have a mask, and that mean is its
    score.

    Args:
        size: (H, W) that masks are given in.
        min_score: frames in which the best class of a tracklet has a lower score are background for it.
        threshold: of mask probabilities.
    """

    def __init__(self, size: tuple[int, int], min_score: float = 0.05, threshold: float = 0.5):
        self.size, self.min_score, self.threshold = tuple(size), min_score, threshold
        self.num_frames = 0
        self._tracks: dict[int, _Track] = {}

    def add(self, tracks: ClipTracks, scale: tuple[float, float]) -> None:
        """Take the next clip.

        Args:
            tracks: of one video (B = 1).
            scale: factors (vertical, horizontal) from the frames that the model saw to ``size``.
        """
        factors = tracks.boxes.new_tensor([scale[1], scale[0]]).repeat(2)
        for t in range(tracks.scores.shape[1]):
            slots = (tracks.scores[0, t].amax(dim=-1) >= self.min_score).nonzero()[:, 0]
            if len(slots):
                pasted = paste_masks(tracks.masks[0, t, slots], tracks.boxes[0, t, slots] * factors, self.size)
                self._add_frame(tracks, t, slots.tolist(), pasted > self.threshold)
        self.num_frames += tracks.scores.shape[1]

    def _add_frame(self, tracks: ClipTracks, t: int, slots: list[int], masks: Tensor) -> None:
        filled = masks.flatten(1).any(dim=1).tolist()
        pixels = masks.cpu().numpy()
        for k, slot in enumerate(slots):
            if not filled[k]:
                continue
            scores = tracks.scores[0, t, slot].cpu()
            track = self._tracks.setdefault(tracks.ids[0].ids[slot], _Track(torch.zeros_like(scores)))
            track.scores += scores
            track.masks[self.num_frames + t] = encode(pixels[k])

    def tracks(self) -> list[dict]:
        """All tracks with a mask, best first: ``id``, ``label`` (0-based class), ``score``, ``segmentations``.

        ``segmentations`` has one entry per frame: ``{"size": [H, W], "counts": str}``, None where there is no mask.
        """
        found = []
        for number, track in self._tracks.items():
            score, label = (track.scores / len(track.masks)).max(dim=0)
            found.append(dict(id=number, label=int(label), score=float(score),
                              segmentations=[track.masks.get(t) for t in range(self.num_frames)]))
        return sorted(found, key=lambda entry: (-entry["score"], entry["id"]))


def encode(mask: np.ndarray) -> dict:
    """Compressed run lengths of a (H, W) bool mask, as JSON can hold them."""
    packed = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}
