"""The DAVIS measures J (region) and F (boundary) on label maps, their statistics and the table.

Source: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation (CVPR 2016),
sections 4.1 and 5; protocol of DAVIS 2017 (arXiv:1704.00675). Plain numpy and OpenCV.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from ...utils.errors import ConfigError, DataError, InputError
from ...utils.listing import runs
from ...utils.mask_kinds import present
from .boundary import boundary_map, boundary_tolerance, count_matched

VOID = 255
KEYS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
PROTOCOLS = ("2017", "2016")
_RECALL_ABOVE = 0.5
_QUARTERS = 4


def frame_scores(prediction: np.ndarray, reference: np.ndarray, ids: Iterable[int]) -> list[tuple[float, float]]:
    """J and F of every object of one frame.

    Args:
        prediction, reference: (H, W) uint8 ids of the same size; what is not in ``ids`` counts as background.
        ids: the objects to score.

    Returns:
        One (J, F) per id, in the order of ``ids``.

    Raises:
        InputError: the sizes differ, or an array is not (H, W) uint8.
    """
    for labels in (prediction, reference):
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise InputError(f"label maps must be (H, W) uint8, got shape {labels.shape} of {labels.dtype}")
    if prediction.shape != reference.shape:
        raise InputError(f"prediction {prediction.shape} and reference {reference.shape} differ in size")
    radius = boundary_tolerance(*prediction.shape)
    area = _window(prediction, reference)
    prediction, reference = prediction[area], reference[area]
    return [_mask_scores((prediction == i).view(np.uint8), (reference == i).view(np.uint8), radius) for i in ids]


def f_measure(matched_prediction: int, boundary_prediction: int, matched_reference: int,
              boundary_reference: int) -> float:
    """F from the numbers of matched and of all boundary pixels of prediction and reference."""
    if boundary_prediction and boundary_reference:
        precision = matched_prediction / boundary_prediction
        recall = matched_reference / boundary_reference
    else:
        precision = float(not boundary_prediction)
        recall = float(not boundary_reference)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def jaccard(intersection: int, union: int) -> float:
    """Intersection over union; 1 where both masks are empty."""
    return intersection / union if union else 1.0


def statistics(values: Sequence[float]) -> dict[str, float]:
    """Mean, recall and decay of the per-frame values of one object.

    Recall is the share of frames strictly above 0.5; decay the mean of the first minus that of the last quarter, where
    neighbouring quarters share the frame between them. Any number of frames is allowed (the bin edges of the official
    program wrap at 8 bits).

    Raises:
        InputError: there are no values.
    """
    values = np.asarray(values, np.float64)
    if not values.size:
        raise InputError("statistics need the values of at least one frame")
    steps = [1 + i * (len(values) - 1) / _QUARTERS for i in range(_QUARTERS + 1)]
    edges = [math.floor(step + 0.5 + 1e-10) - 1 for step in steps]
    first, last = (values[edges[i]:edges[i + 1] + 1] for i in (0, _QUARTERS - 1))
    return {"Mean": float(np.nanmean(values)), "Recall": float((values > _RECALL_ABOVE).mean()),
            "Decay": float(np.nanmean(first) - np.nanmean(last))}


def object_result(region: Sequence[float], boundary: Sequence[float]) -> dict:
    """The entry of one object in a sequence's result: per-frame ``J`` and ``F`` and their statistics."""
    entry = {"J": [float(v) for v in region], "F": [float(v) for v in boundary]}
    for measure in ("J", "F"):
        entry.update({f"{measure}-{name}": value for name, value in statistics(entry[measure]).items()})
    return entry


def global_scores(results: dict[str, dict]) -> dict[str, float] | None:
    """The DAVIS table of many sequences: means over all objects of all sequences; None if nothing was scored.

    Args:
        results: per sequence ``{"frames": [...], "objects": {id: entry of object_result}}``.
    """
    entries = [entry for name in sorted(results) for entry in results[name]["objects"].values()]
    if not entries:
        return None
    scores = {key: float(np.mean([entry[key] for entry in entries])) for key in KEYS[1:]}
    return {KEYS[0]: (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}


class SequenceScorer:
    """Collects J and F of one sequence frame by frame (semi-supervised protocols).

    Args:
        name: of the sequence, for messages.
        first_reference: (H, W) uint8 reference of the first frame; its largest id is the number of objects, ids below
            it that no pixel has included.
        protocol: "2017" scores every id on its own, "2016" one foreground (all ids together, 255 included).
        late: object id -> index of the frame in which it starts, of objects that start later (which sequences of DAVIS
            do not have); each is scored on the frames after its first one.
    """

    def __init__(self, name: str, first_reference: np.ndarray, protocol: str = "2017",
                 late: Mapping[int, int] | None = None):
        self.name = name
        self.binary = check_protocol(protocol) == "2016"
        largest = 1 if self.binary else largest_id(first_reference)
        self.late = {} if self.binary else {number: start for number, start in (late or {}).items() if number > largest}
        self.ids = [*range(1, largest + 1), *sorted(self.late)]
        if not self.ids:
            raise DataError(f"sequence {name}: the reference of the first frame has no object")
        shown = {1} if self.binary else set(present(first_reference))
        self.absent = [number for number in range(1, largest + 1) if number not in shown]
        self.frames: list[str] = []
        self._indices: list[int] = []
        self._scores: list[list[tuple[float, float]]] = []

    def add(self, frame: str, prediction: np.ndarray, reference: np.ndarray, index: int | None = None) -> None:
        """Score one frame.

        Args:
            frame: its name.
            prediction, reference: (H, W) uint8 ids.
            index: of the frame in the sequence; needed where objects start late.

        Raises:
            DataError: the sizes differ, or the prediction has an id that is not one of the objects.
        """
        check_size(self.name, frame, prediction, reference)
        if self.binary:
            prediction, reference = (prediction > 0).view(np.uint8), (reference > 0).view(np.uint8)
        check_ids(self.name, frame, prediction, self.ids)
        self.frames.append(frame)
        self._indices.append(len(self.frames) if index is None else index)
        self._scores.append(frame_scores(prediction, reference, self.ids))

    def result(self) -> dict:
        """``{"frames": [names], "objects": {id: entry}, "absent": [ids below the largest that no pixel has]}``.

        Objects that start late have the ``frames`` on which they are scored in their entry, and are left out if there
        is none; ``absent`` is left out if it is empty.

        Raises:
            DataError: no frame was scored.
        """
        entries = {str(number): self._entry(place, number) for place, number in enumerate(self.ids)}
        objects = {number: entry for number, entry in entries.items() if entry is not None}
        if not objects:
            raise DataError(f"sequence {self.name}: no frame is left to score; the first and the last frame are not "
                            "scored, so at least three are needed")
        return {"frames": list(self.frames), "objects": objects, **({"absent": self.absent} if self.absent else {})}

    def _entry(self, place: int, number: int) -> dict | None:
        start = self.late.get(number, 0)
        rows = [k for k, index in enumerate(self._indices) if index > start]
        if not rows:
            return None
        entry = object_result(*zip(*(self._scores[k][place] for k in rows), strict=True))
        return {"frames": [self.frames[k] for k in rows], **entry} if start else entry


def check_protocol(protocol: str) -> str:
    """Return ``protocol``, or raise :class:`ConfigError` if there is no such semi-supervised protocol."""
    if protocol not in PROTOCOLS:
        raise ConfigError(f"DAVIS protocol {protocol!r} is unknown; expected one of {', '.join(PROTOCOLS)}")
    return protocol


def largest_id(labels: np.ndarray) -> int:
    """The largest id of a label map, void (255) apart; 0 if there is none."""
    largest = int(labels.max(initial=0))
    return largest if largest != VOID else int(labels[labels != VOID].max(initial=0))


def check_size(sequence: str, frame: str, prediction: np.ndarray, reference: np.ndarray) -> None:
    """Raise :class:`DataError` if a prediction has another size than its reference."""
    if prediction.shape != reference.shape:
        (height, width), (rows, columns) = prediction.shape, reference.shape
        raise DataError(f"sequence {sequence}, frame {frame}: the prediction is {width}x{height} but the reference "
                        f"{columns}x{rows} (width x height); write predictions at the size of the reference")


def check_ids(sequence: str, frame: str, prediction: np.ndarray, ids: Sequence[int]) -> None:
    """Raise :class:`DataError` if a prediction has an id that is not one of ``ids`` (1 .. n, and maybe later ones)."""
    largest = int(prediction.max(initial=0))
    if largest <= len(ids) and ids[-1] == len(ids):
        return
    extra = [number for number in present(prediction) if number and number not in ids]
    if extra:
        what = f"{len(ids)} objects" if len(ids) > 1 else "one object"
        raise DataError(f"sequence {sequence}, frame {frame}: the prediction has id {extra[-1]}, but the first "
                        f"reference frame has only {what}; remove the extra id")


def existing_scores(results: Mapping[str, dict]) -> dict[str, float] | None:
    """As :func:`global_scores`, of the objects that exist; None if all do.

    The official rule counts the ids below the largest one, too, where no pixel has them: each scores 1 if it is not
    predicted.
    """
    if not any(result.get("absent") for result in results.values()):
        return None
    return global_scores({name: {"objects": {number: entry for number, entry in result["objects"].items()
                                             if int(number) not in result.get("absent", ())}}
                          for name, result in results.items()})


def word_about_absent(results: Mapping[str, dict]) -> str | None:
    """What a user should know of ids that no pixel has; None if there are none."""
    absent = {name: result["absent"] for name, result in sorted(results.items()) if result.get("absent")}
    if not absent:
        return None
    name, ids = next(iter(absent.items()))
    more = f", and {len(absent) - 1} more sequences" if len(absent) > 1 else ""
    return (f"the first reference of {name} has no object {runs(ids)}{more}: by the rule of DAVIS these count as "
            "objects (1 where nothing is predicted); the row of existing objects is without them")


def _mask_scores(prediction: np.ndarray, reference: np.ndarray, radius: int) -> tuple[float, float]:
    """J and F of two masks (H, W) uint8 of 0 and 1 that lie in an image (or window of one) of the same size."""
    area = _window(prediction, reference)
    prediction, reference = prediction[area], reference[area]
    intersection = cv2.countNonZero(prediction & reference)
    union = cv2.countNonZero(prediction) + cv2.countNonZero(reference) - intersection
    contours = boundary_map(prediction), boundary_map(reference)
    sizes = [cv2.countNonZero(contour) for contour in contours]
    matches = (0, 0)
    if all(sizes):
        matches = count_matched(*contours, radius), count_matched(*contours[::-1], radius)
    return jaccard(intersection, union), f_measure(matches[0], sizes[0], matches[1], sizes[1])


def _window(prediction: np.ndarray, reference: np.ndarray) -> tuple[slice, slice]:
    """The part of the image that holds all that is not zero, and one pixel more on each side where the image has it.

    The margin makes the boundary inside the window equal to that in the whole image: a window that ends before the
    image does so with zeros.
    """
    boxes = [box for box in (cv2.boundingRect(prediction), cv2.boundingRect(reference)) if box[2]]
    if not boxes:
        return slice(0, 1), slice(0, 1)
    left, top = (max(min(box[i] for box in boxes) - 1, 0) for i in (0, 1))
    right, bottom = (max(box[i] + box[i + 2] for box in boxes) + 1 for i in (0, 1))
    return slice(top, bottom), slice(left, right)
