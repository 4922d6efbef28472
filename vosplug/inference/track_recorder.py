"""Collects the tracks of a video, masks as run lengths."""

from dataclasses import dataclass, field

import numpy as np
import torch
from pycocotools import mask as coco
from torch import Tensor

from ..models.tracklets.boxes import paste_masks
from ..models.tracklets.linking import ClipTracks
from ..structures import TrackMask


@dataclass
class _Track:
    """What is known of one track: the frames with a mask, sums of class scores over them, and run lengths by frame."""

    scores: Tensor
    frames: int = 0
    first: int = 0
    last: int = 0
    masks: dict[int, dict] = field(default_factory=dict)

    def ranking(self, count: int) -> list[tuple[int, float]]:
        """The ``count`` classes with the highest mean scores, and these means, best first."""
        scores, labels = (self.scores / self.frames).topk(min(count, len(self.scores)))
        return list(zip(labels.tolist(), scores.tolist(), strict=True))


class TrackRecorder:
    """The tracks of one video, clip by clip. Holds sums of scores and, if they are to be kept, run lengths.

    A track's category is the class with the highest mean score over the frames that have a mask, and that mean is its
    score.

    Args:
        size: (H, W) that masks are given in.
        min_score: frames in which the best class of a tracklet has a lower score are background for it.
        threshold: of mask probabilities.
        keep_masks: keep the run lengths for :meth:`tracks`; without, memory does not grow with the video.
    """

    def __init__(self, size: tuple[int, int], min_score: float = 0.05, threshold: float = 0.5,
                 keep_masks: bool = True):
        self.size, self.min_score, self.threshold, self.keep_masks = tuple(size), min_score, threshold, keep_masks
        self.num_frames = 0
        self._tracks: dict[int, _Track] = {}

    def add(self, tracks: ClipTracks, scale: tuple[float, float]) -> list[list[TrackMask]]:
        """Take the next clip.

        Args:
            tracks: of one video (B = 1).
            scale: factors (vertical, horizontal) from the frames that the model saw to ``size``.

        Returns:
            Per frame of the clip its masks, best track first; classes and scores are those at the end of the clip.
        """
        factors = tracks.boxes.new_tensor([scale[1], scale[0]]).repeat(2)
        clip = [self._frame(tracks, t, factors) for t in range(tracks.scores.shape[1])]
        standing = {number: self._tracks[number].ranking(1)[0] for number in {n for frame in clip for n in frame}}
        order = sorted(standing, key=lambda number: (-standing[number][1], number))
        return [[TrackMask(n, *standing[n], frame[n]) for n in order if n in frame] for frame in clip]

    def _frame(self, tracks: ClipTracks, t: int, factors: Tensor) -> dict[int, dict]:
        """Take frame ``t`` of a clip: id of a track -> its run lengths."""
        slots, found = (tracks.scores[0, t].amax(dim=-1) >= self.min_score).nonzero()[:, 0], {}
        if len(slots):
            pasted = paste_masks(tracks.masks[0, t, slots], tracks.boxes[0, t, slots] * factors, self.size)
            pixels = (pasted > self.threshold).cpu().numpy()
            for slot, mask in zip(slots.tolist(), pixels, strict=True):
                if mask.any():
                    number = tracks.ids[0].ids[slot]
                    found[number] = encode(mask)
                    self._count(number, tracks.scores[0, t, slot].cpu(), found[number])
        self.num_frames += 1
        return found

    def _count(self, number: int, scores: Tensor, mask: dict) -> None:
        track = self._tracks.setdefault(number, _Track(torch.zeros_like(scores), first=self.num_frames))
        track.scores += scores
        track.frames, track.last = track.frames + 1, self.num_frames
        if self.keep_masks:
            track.masks[self.num_frames] = mask

    def tracks(self, classes: int = 1) -> list[dict]:
        """All tracks with a mask, best first, each with its ``classes`` best classes as an entry of its own.

        An entry has ``id``, ``label`` (0-based class), ``score``, ``frames`` (number of masks), ``first`` and ``last``
        (frames with a mask) and, where masks are kept, ``segmentations`` with one entry per frame of the video:
        ``{"size": [H, W], "counts": str}``, None where there is no mask.
        """
        found = []
        for number, track in self._tracks.items():
            common = dict(frames=track.frames, first=track.first, last=track.last)
            if self.keep_masks:
                common["segmentations"] = [track.masks.get(t) for t in range(self.num_frames)]
            found += [dict(id=number, label=label, score=score, **common) for label, score in track.ranking(classes)]
        return sorted(found, key=lambda entry: (-entry["score"], entry["id"]))


def encode(mask: np.ndarray) -> dict:
    """Compressed run lengths of a (H, W) bool mask, as JSON can hold them."""
    packed = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}
