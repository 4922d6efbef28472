"""Average precision and recall of tracks in the manner of YouTube-VIS (Yang, Fan, Xu, ICCV 2019).

The rules are those of the benchmark's public evaluation code; the numbers agree with it. A video is scored once into a
small result that JSON can hold (:func:`score_video`); the numbers over all videos come from these
(:func:`global_scores`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .track_masks import Track, mean_area, overlaps, read_tracks

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"": (0, 1e10), "s": (0, 128**2), "m": (128**2, 256**2), "l": (256**2, 1e10)}
"""Suffix of a measure -> range of the mean area of a track in pixels, both ends included."""
KEYS = ("AP", "AP50", "AP75", "AR1", "AR10", "APs", "APm", "APl", "AR100", "ARs", "ARm", "ARl")
MOST = 100
"""Tracks that count per video and category (per video without categories)."""
ALL = "all"
"""Name of the only group where categories do not count."""
NOTHING = -1.0
"""Value of a measure that nothing contributes to."""

_LIMITS = np.minimum(THRESHOLDS, 1 - 1e-10)


def track_ious(predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]],
               size: tuple[int, int]) -> np.ndarray:
    """Intersection over union of tracks: sum of the intersections over sum of the unions, over all frames.

    Args:
        predictions: D tracks of T segmentations each: run lengths, or None where there is no mask.
        references: G such tracks; polygons are allowed.
        size: (H, W) of the video.

    Returns:
        (D, G) float64; 0 where both tracks are empty.

    Raises:
        DataError: a segmentation is not a mask of that size.
    """
    targets, tracks = _read(references, predictions, [f"reference {i}" for i in range(len(references))],
                            [f"prediction {i}" for i in range(len(predictions))], size)
    return overlaps(tracks, targets)


def _read(references: Sequence, predictions: Sequence, reference_names: Sequence[str],
          prediction_names: Sequence[str], size: tuple[int, int]) -> tuple[list[Track], list[Track]]:
    """Tracks of references and of predictions, read together."""
    tracks = read_tracks([*references, *predictions], size, [*reference_names, *prediction_names],
                         polygons=len(references))
    return tracks[:len(references)], tracks[len(references):]


def score_video(references: Sequence[Mapping], predictions: Sequence[Mapping], size: tuple[int, int],
                class_agnostic: bool = False) -> dict:
    """Compare the tracks of one video.

    Args:
        references: with ``category_id``, ``segmentations`` (T) and, if there, ``iscrowd``, ``areas`` (T; else counted),
            ``name`` for messages.
        predictions: with ``category_id``, ``score``, ``segmentations`` and, if there, ``name``.
        size: (H, W) of the video.
        class_agnostic: categories do not count.

    Returns:
        ``{"groups": {category id: group}}`` with, per group, ``scores`` and ``areas`` of at most 100 predictions by
        falling score, ``reference_areas``, ``crowd``, and ``ious`` (predictions x references). Floats are exact, so a
        result may go through a JSON file.

    Raises:
        DataError: a segmentation is not a mask of that size.
    """
    targets, tracks = _read([r["segmentations"] for r in references], [p["segmentations"] for p in predictions],
                            [r.get("name", f"reference {i}") for i, r in enumerate(references)],
                            [p.get("name", f"prediction {i}") for i, p in enumerate(predictions)], size)
    groups = {}
    for key, (refs, preds) in _groups(references, predictions, class_agnostic).items():
        areas = [_reference_area(references[i], targets[i]) for i in refs]
        order = sorted(preds)  # as they were read: so they need not be put together
        place = {i: k for k, i in enumerate(order)}
        ious = overlaps([tracks[i] for i in order], [targets[i] for i in refs])
        groups[str(key)] = {
            "scores": [float(predictions[i]["score"]) for i in preds], "areas": [tracks[i].mean_area for i in preds],
            "reference_areas": areas, "crowd": [bool(references[i].get("iscrowd", 0)) for i in refs],
            "ious": ious[[place[i] for i in preds]].tolist()}
    return {"groups": groups}


def _groups(references: Sequence[Mapping], predictions: Sequence[Mapping], agnostic: bool) -> dict:
    """Category -> indices of its references and of its best predictions by falling score."""
    groups: dict[Any, tuple[list[int], list[int]]] = {}
    for side, entries in enumerate((references, predictions)):
        # Without categories, ties are in the order of categories, then of the file.
        order = sorted(range(len(entries)), key=lambda i: entries[i]["category_id"]) if agnostic else \
            range(len(entries))
        for i in order:
            groups.setdefault(ALL if agnostic else entries[i]["category_id"], ([], []))[side].append(i)
    return {key: (refs, sorted(preds, key=lambda i: -predictions[i]["score"])[:MOST])
            for key, (refs, preds) in groups.items()}


def _reference_area(reference: Mapping, track: Any) -> float:
    areas = reference.get("areas")
    return track.mean_area if areas is None else mean_area(areas)


@dataclass
class Matches:
    """What became of the tracks of one group of one video, for A ranges of area and the ten thresholds.

    Attributes:
        scores: (D,).
        matched, ignored: (A, 10, D) bool, per prediction.
        regular: (A, G) bool: the reference counts.
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    regular: np.ndarray


def match_group(group: Mapping) -> Matches:
    """Assign the predictions of one group of one video to its references.

    Predictions choose by falling score the free reference of highest IoU above the threshold (of equal ones the later).
    References that do not count, because of their area or as crowds, are taken only where no other fits; a crowd may be
    taken many times.

    Args:
        group: as in the result of :func:`score_video`.
    """
    low, high = (np.array(limits)[:, None] for limits in zip(*AREAS.values(), strict=True))
    crowd = np.array(group["crowd"], bool)
    areas, own = np.array(group["reference_areas"], float), np.array(group["areas"], float)
    aside = crowd | (areas < low) | (areas > high)  # (A, G)
    shape = (len(AREAS), len(THRESHOLDS), len(own))
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if aside.size:
        ious = np.array(group["ious"], float).reshape(len(own), len(areas))
        near = ious >= THRESHOLDS[0] - 1e-10
        hopeful = np.flatnonzero(near.any(axis=1))
        if np.count_nonzero(near) == len(hopeful):
            matched[:, :, hopeful], ignored[:, :, hopeful] = _alone(ious[hopeful], crowd, aside)
        else:
            taken = np.zeros((*shape[:2], len(areas)), bool)
            for d in hopeful:
                matched[:, :, d], ignored[:, :, d] = _choose(ious[d], taken, crowd, aside)
    outside = (own < low) | (own > high)
    ignored |= ~matched & outside[:, None]
    return Matches(np.array(group["scores"], float), matched, ignored, ~aside)


def _alone(ious: np.ndarray, crowd: np.ndarray, aside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The choices of predictions (D, G) each of which is near one reference only: its first one gets it."""
    chosen = ious.argmax(axis=1)
    found = ious.max(axis=1) >= _LIMITS[:, None]  # (10, D)
    for reference in set(chosen.tolist()):
        if not crowd[reference]:
            mine = np.flatnonzero(chosen == reference)
            found[:, mine] &= np.cumsum(found[:, mine], axis=1) == 1
    return np.broadcast_to(found, (len(aside), *found.shape)), found & aside[:, None, chosen]


def _choose(ious: np.ndarray, taken: np.ndarray, crowd: np.ndarray, aside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The choice of one prediction in all ranges and at all thresholds; ``taken`` (A, 10, G) is brought up to date."""
    fits = (ious >= _LIMITS[:, None]) & (~taken | crowd)
    regular = fits & ~aside[:, None]
    fits = np.where(regular.any(axis=2, keepdims=True), regular, fits)
    best = len(ious) - 1 - np.argmax(np.where(fits, ious, -1.0)[..., ::-1], axis=2)
    found = fits.any(axis=2)
    area, threshold = np.nonzero(found)
    taken[area, threshold, best[area, threshold]] = True
    return found, found & np.take_along_axis(aside, best, axis=1)


def global_scores(results: Sequence[Mapping]) -> dict[str, float] | None:
    """The numbers of the benchmark over all videos.

    Args:
        results: of :func:`score_video`, by ascending id of the video.

    Returns:
        AP and AR under :data:`KEYS`, -1 where there is nothing to average; None if no video has a reference.
    """
    curves = category_curves(results)
    return summary(list(curves.values())) if curves else None


def category_scores(results: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """The numbers of every category that has references; keys as :func:`global_scores`."""
    return {key: summary([curve]) for key, curve in category_curves(results).items()}


def threshold_scores(results: Sequence[Mapping]) -> list[float]:
    """AP at each of the ten thresholds."""
    curves = [curve["AP"] for curve in category_curves(results).values() if "AP" in curve]
    return [_mean(values) for values in np.stack(curves, axis=1)] if curves else [NOTHING] * len(THRESHOLDS)


def category_curves(results: Sequence[Mapping]) -> dict[str, dict[str, np.ndarray]]:
    """Per category: precision (10, 101) under ``AP`` and ``APs``..., recall (10,) under ``AR1``, ``AR100``, ``ARs``...

    A measure without a regular reference is left out; a category without any reference as well.
    """
    matches: dict[str, list[Matches]] = {}
    for result in results:
        for key, group in result["groups"].items():
            matches.setdefault(key, []).append(match_group(group))
    curves = {}
    for key in sorted(matches, key=lambda name: (len(name), name)):
        if any(match.regular.shape[1] for match in matches[key]):
            curves[key] = _curves(matches[key])
    return curves


def _curves(matches: Sequence[Matches]) -> dict[str, np.ndarray]:
    curves: dict[str, np.ndarray] = {}
    for area, suffix in enumerate(AREAS):
        regular = sum(int(match.regular[area].sum()) for match in matches)
        if not regular:
            continue
        for most in (1, 10, MOST) if not suffix else (MOST,):
            precision, recall = _curve(matches, area, most, regular)
            curves[f"AR{suffix or most}"] = recall
        curves[f"AP{suffix}"] = precision
    return curves


def _curve(matches: Sequence[Matches], area: int, most: int, regular: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision at the 101 recalls and final recall, at each threshold, from the best ``most`` tracks per video."""
    scores = np.concatenate([match.scores[:most] for match in matches])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([match.matched[area][:, :most] for match in matches], axis=1)[:, order]
    counts = ~np.concatenate([match.ignored[area][:, :most] for match in matches], axis=1)[:, order]
    right, wrong = (np.cumsum(hits & counts, axis=1, dtype=float) for hits in (matched, ~matched))
    recall, precision = right / regular, right / (wrong + right + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # 0 follows the last track: the precision of recalls that are not reached.
    padded = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    sampled = [row[np.searchsorted(reached, RECALLS)] for row, reached in zip(padded, recall, strict=True)]
    final = recall[:, -1] if len(scores) else np.zeros(len(THRESHOLDS))
    return np.stack(sampled), final


def summary(curves: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Means of the curves of some categories under :data:`KEYS`."""
    def mean(key: str, rows: Any = slice(None)) -> float:
        return _mean(np.concatenate([curve[key][rows].ravel() for curve in curves if key in curve] or [np.zeros(0)]))

    places = {"AP50": ("AP", [0]), "AP75": ("AP", [5])}
    return {key: mean(*places.get(key, (key,))) for key in KEYS}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else NOTHING
