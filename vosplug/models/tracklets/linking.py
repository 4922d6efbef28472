"""How tracklets of one clip continue those of the clip before (EfficientVIS, section 3.3, Table 1d)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ...registry import LINKERS
from ...structures import ObjectIds, VideoState
from ...utils.errors import ConfigError
from .boxes import iou_and_giou, paste_masks


@dataclass
class ClipTracks:
    """What a clip says about the N tracklets of each of B videos.

    Attributes:
        scores: (B, T, N, K) probabilities of the classes.
        boxes: (B, T, N, 4) in pixels.
        masks: (B, T, N, S, S) probabilities inside the boxes, of the class ``labels``.
        labels: (B, N) class with the highest mean score.
        ids: per video the ids of its N tracklets.
    """

    scores: Tensor
    boxes: Tensor
    masks: Tensor
    labels: Tensor
    ids: list[ObjectIds]


def fresh_ids(known: ObjectIds, slots: list[int], count: int) -> ObjectIds:
    """Ids in which the tracklets ``slots`` of ``count`` have new ids; all are new where none is known."""
    top = max((*known.ids, *known.retired), default=0)
    if not len(known):
        return ObjectIds(tuple(range(top + 1, top + 1 + count)), known.retired)
    values, gone = list(known.ids), []
    for number, slot in enumerate(slots, start=1):
        gone.append(values[slot])
        values[slot] = top + number
    return ObjectIds(tuple(values), known.retired | frozenset(gone))


@LINKERS.register_module(examples=[
    dict(), dict(reinit_after=None), dict(reinit_after=1, background_score=0.9)])
class QueryLinking(nn.Module):
    """The output queries of a clip, averaged over time, start the next: no association at all.

    A query that stayed background for ``reinit_after`` clips in a row starts from q* again, as a new tracklet.

    Args:
        reinit_after: number of clips; None never starts a query anew.
        background_score: a tracklet none of whose frames has a class score of at least this is background in the clip.
    """

    carries = True

    def __init__(self, reinit_after: int | None = 3, background_score: float = 0.1):
        super().__init__()
        if reinit_after is not None and reinit_after < 1:
            raise ConfigError(f"QueryLinking.reinit_after must be at least 1 or None, got {reinit_after}")
        self.reinit_after, self.background_score = reinit_after, background_score

    def start(self, state: VideoState, initial: Tensor) -> Tensor:
        """Queries (B, N, C) that the next clip starts from; ``initial`` is q* (B, N, C)."""
        if "queries" not in state.cache:
            state.cache["background"] = torch.zeros(initial.shape[:2], dtype=torch.long)
            state.cache["ids"] = [fresh_ids(ObjectIds(), [], initial.shape[1]) for _ in initial]
            return initial
        queries = state.cache["queries"].to(initial.dtype)
        if self.reinit_after is None:
            return queries
        stale = state.cache["background"] >= self.reinit_after
        for row, ids in enumerate(state.cache["ids"]):
            slots = stale[row].nonzero()[:, 0].tolist()
            state.cache["ids"][row] = fresh_ids(ids, slots, len(ids))
        state.cache["background"][stale] = 0
        return torch.where(stale.to(initial.device)[..., None], initial, queries)

    def finish(self, state: VideoState, queries: Tensor, tracks: ClipTracks, size: tuple[int, int]) -> list[ObjectIds]:
        """Keep what the next clip needs of this one, and name the tracklets; ``queries`` (B, T, N, C), renewed."""
        state.cache["queries"] = queries.mean(dim=1)
        seen = (tracks.scores.detach().amax(dim=(1, 3)) >= self.background_score).cpu()
        state.cache["background"] = torch.where(seen, 0, state.cache["background"] + 1)
        return list(state.cache["ids"])


@LINKERS.register_module(examples=[dict(), dict(mask_iou=0.0, max_age=3)])
class HandCraftedLinking(nn.Module):
    """Every clip starts from q*; tracklets are matched afterwards by a rule (Table 1d, "Hand-craft").

    The last frame of a known track and the first frame of the clip give an affinity: weighted IoU of boxes, distance of
    boxes (L1, in shares of the frame, taken off), IoU of masks, equality of class. The Hungarian algorithm finds the
    best matching; pairs of less than ``min_affinity`` are not linked.

    Args:
        box_iou, box_l1, mask_iou, same_class: weights.
        min_affinity: of a link.
        min_score: tracklets whose best class score is lower start a new track and are not remembered.
        max_age: clips that a track is remembered for without being continued.
    """

    carries = False

    def __init__(self, box_iou: float = 1.0, box_l1: float = 1.0, mask_iou: float = 1.0, same_class: float = 1.0,
                 min_affinity: float = 0.5, min_score: float = 0.1, max_age: int = 1):
        super().__init__()
        self.box_iou, self.box_l1, self.mask_iou, self.same_class = box_iou, box_l1, mask_iou, same_class
        self.min_affinity, self.min_score, self.max_age = min_affinity, min_score, max_age

    def start(self, state: VideoState, initial: Tensor) -> Tensor:
        """q* (B, N, C), as for the first clip."""
        if "tracks" not in state.cache:
            state.cache["tracks"] = [{} for _ in initial]
            state.cache["ids"] = [ObjectIds() for _ in initial]
        return initial

    def finish(self, state: VideoState, queries: Tensor, tracks: ClipTracks, size: tuple[int, int]) -> list[ObjectIds]:
        """Link the tracklets of this clip with the known tracks; ``size`` (H, W) of the frames."""
        for row in range(len(queries)):
            state.cache["ids"][row] = self._link(state.cache["tracks"][row], state.cache["ids"][row], tracks, row, size)
        return list(state.cache["ids"])

    def _link(self, known: dict[int, dict], ids: ObjectIds, tracks: ClipTracks, row: int,
              size: tuple[int, int]) -> ObjectIds:
        first, last = (snapshot(tracks, row, frame, size) for frame in (0, -1))
        best = tracks.scores[row].amax(dim=(0, 2))
        good = (best >= self.min_score).nonzero()[:, 0].tolist()
        names = list(known)
        values: list[int | None] = [None] * len(best)
        if good and names:
            affinity = torch.stack([torch.stack([self.affinity(known[n]["last"], first[k], size) for n in names])
                                    for k in good]).cpu().numpy()
            for i, j in zip(*linear_sum_assignment(affinity, maximize=True), strict=True):
                if affinity[i, j] >= self.min_affinity:
                    values[good[i]] = names[j]
        top = max((*ids.ids, *ids.retired), default=0)
        for slot, value in enumerate(values):
            if value is None:
                top += 1
                values[slot] = top
        for entry in known.values():
            entry["age"] += 1
        known.update({values[k]: dict(last=last[k], age=0) for k in good})
        for name in [n for n, entry in known.items() if entry["age"] > self.max_age]:
            del known[name]
        return ObjectIds(tuple(values), (ids.retired | frozenset(ids.ids)) - frozenset(values))

    def affinity(self, a: dict[str, Tensor], b: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Affinity of two snapshots."""
        scale = a["box"].new_tensor([size[1], size[0], size[1], size[0]])
        iou = iou_and_giou(a["box"], b["box"])[0]
        distance = ((a["box"] - b["box"]).abs() / scale).sum()
        union = (a["mask"] | b["mask"]).sum()
        mask_iou = (a["mask"] & b["mask"]).sum() / union.clamp(min=1)
        same = (a["label"] == b["label"]).float()
        return (self.box_iou * iou - self.box_l1 * distance + self.mask_iou * mask_iou + self.same_class * same).float()


def snapshot(tracks: ClipTracks, row: int, frame: int, size: tuple[int, int], shrink: int = 4) -> list[dict]:
    """Box, class and mask (at a quarter of the size) of all tracklets of one video at one frame."""
    boxes = tracks.boxes[row, frame].detach().float()
    small = tuple(max(1, side // shrink) for side in size)
    scale = boxes.new_tensor([small[1] / size[1], small[0] / size[0]]).repeat(2)
    masks = paste_masks(tracks.masks[row, frame].detach().float(), boxes * scale, small) > 0.5
    return [dict(box=box, mask=mask, label=label) for box, mask, label in
            zip(boxes, masks, tracks.labels[row], strict=True)]
