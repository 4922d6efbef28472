"""The measures of YouTube-VIS in plain loops, as their definition reads: for tests, and as the base of the benchmark.

One pycocotools call per frame, pair of tracks and kind of overlap, and one pass of Python loops per category, range of
area and threshold: the way in which the public evaluation code of the benchmark works. Use :mod:`.youtube_vis`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as coco

from vosplug.evaluation.functional.youtube_vis import ALL, AREAS, KEYS, MOST, RECALLS, THRESHOLDS


def plain_track_iou(prediction: Sequence, reference: Sequence) -> float:
    """IoU of two tracks of compressed run lengths or None."""
    common = union = 0.0
    for a, b in zip(prediction, reference, strict=True):
        if a and b:
            common += coco.area(coco.merge([a, b], True))
            union += coco.area(coco.merge([a, b], False))
        elif a or b:
            union += coco.area(a or b)
    return common / union if union else 0.0


def plain_scores(annotations: Sequence[Mapping], results: Sequence[Mapping], videos: Sequence[int],
                 categories: Sequence[int], class_agnostic: bool = False) -> dict[str, float]:
    """The numbers under :data:`~vosplug.evaluation.functional.youtube_vis.KEYS`.

    Args:
        annotations, results: entries of the two files; segmentations are compressed run lengths or None.
        videos, categories: all ids.
    """
    references, predictions = (_sorted(entries, class_agnostic) for entries in (annotations, results))
    for entries in predictions.values():
        for entry in entries:
            entry["boxes"] = [coco.toBbox(mask) if mask else None for mask in entry["segmentations"]]
    groups = [ALL] if class_agnostic else sorted(categories)
    ious = {}
    for video in sorted(videos):
        for group in groups:
            best = _best(predictions[video, group])
            ious[video, group] = [[plain_track_iou(p["segmentations"], r["segmentations"])
                                   for r in references[video, group]] for p in best]
    curves: dict[str, list] = defaultdict(list)
    for group in groups:
        for suffix, limits in AREAS.items():
            matches = [_match(references[video, group], _best(predictions[video, group]), ious[video, group], limits)
                       for video in sorted(videos)]
            for most in (1, 10, MOST) if not suffix else (MOST,):
                curve = _curve(matches, most)
                if curve is not None:
                    curves[f"AR{suffix or most}"].append(curve[1])
                    if most == MOST:
                        curves[f"AP{suffix}"].append(curve[0])
    rows = {"AP50": ("AP", 0), "AP75": ("AP", 5)}
    return {key: _mean(curves[rows[key][0]], rows[key][1]) if key in rows else _mean(curves[key]) for key in KEYS}


def _sorted(entries: Sequence[Mapping], class_agnostic: bool) -> dict:
    found = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e["category_id"]) if class_agnostic else entries:
        areas = entry.get("areas") or [coco.area(mask) if mask else None for mask in entry["segmentations"]]
        shown = [area for area in areas if area]
        area = np.array(shown).mean() if shown else 0
        found[entry["video_id"], ALL if class_agnostic else entry["category_id"]].append({**entry, "area": area})
    return found


def _best(predictions: list[dict]) -> list[dict]:
    order = np.argsort([-p["score"] for p in predictions], kind="mergesort")
    return [predictions[i] for i in order[:MOST]]


def _match(references: list[dict], predictions: list[dict], ious: list[list[float]], limits: tuple) -> dict:
    def outside(entry):
        return entry["area"] < limits[0] or entry["area"] > limits[1]

    aside = [bool(r.get("iscrowd", 0)) or outside(r) for r in references]
    order = np.argsort(aside, kind="mergesort")
    matched = np.zeros((len(THRESHOLDS), len(predictions)), bool)
    ignored = np.zeros((len(THRESHOLDS), len(predictions)), bool)
    for t, threshold in enumerate(THRESHOLDS):
        taken = [False] * len(references)
        for d, prediction in enumerate(predictions):
            best, chosen = min(threshold, 1 - 1e-10), None
            for g in order:
                if taken[g] and not references[g].get("iscrowd", 0):
                    continue
                if chosen is not None and not aside[chosen] and aside[g]:
                    break
                if ious[d][g] >= best:
                    best, chosen = ious[d][g], g
            if chosen is not None:
                taken[chosen], matched[t, d], ignored[t, d] = True, True, aside[chosen]
            elif outside(prediction):
                ignored[t, d] = True
    return {"scores": [p["score"] for p in predictions], "matched": matched, "ignored": ignored,
            "regular": len(aside) - sum(aside)}


def _curve(matches: list[dict], most: int) -> tuple[np.ndarray, list[float]] | None:
    regular = sum(match["regular"] for match in matches)
    if not regular:
        return None
    scores = np.concatenate([match["scores"][:most] for match in matches])
    order = np.argsort(-scores, kind="mergesort")
    matched, ignored = (np.concatenate([match[key][:, :most] for match in matches], axis=1)[:, order]
                        for key in ("matched", "ignored"))
    rows, recalls = [], []
    for hits, skips in zip(matched, ignored, strict=True):
        right, wrong = np.cumsum(hits & ~skips).astype(float), np.cumsum(~hits & ~skips).astype(float)
        recall, precision = right / regular, (right / (wrong + right + np.spacing(1))).tolist()
        for i in range(len(precision) - 1, 0, -1):
            precision[i - 1] = max(precision[i - 1], precision[i])
        places = np.searchsorted(recall, RECALLS, side="left")
        rows.append([precision[place] if place < len(precision) else 0.0 for place in places])
        recalls.append(recall[-1] if len(recall) else 0.0)
    return np.array(rows), recalls


def _mean(curves: list, row: int | None = None) -> float:
    if not curves:
        return -1.0
    return float(np.mean(curves) if row is None else np.mean([curve[row] for curve in curves]))
