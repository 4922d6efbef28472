"""The unsupervised protocol of DAVIS 2019: proposals are assigned to objects, void pixels are left out.

Source: Caelles et al., The 2019 DAVIS Challenge on VOS: Unsupervised Multi-Object Segmentation (arXiv:1905.00737).
"""

import cv2
import numpy as np

from ...utils.errors import DataError
from .boundary import boundary_map, boundary_tolerance, disk_kernel
from .davis import VOID, check_size, f_measure, jaccard, largest_id, object_result

MAX_PROPOSALS = 20


class UnsupervisedScorer:
    """Collects J and F of every proposal with every object of one sequence, over all frames.

    Args:
        name: of the sequence, for messages.
        first_reference: (H, W) uint8 reference of the first frame; its largest id (255 apart) is the number of objects.
    """

    def __init__(self, name: str, first_reference: np.ndarray):
        self.name = name
        self.num_objects = largest_id(first_reference)
        if not self.num_objects:
            raise DataError(f"sequence {name}: the reference of the first frame has no object")
        self.num_proposals = self.num_objects
        self.frames: list[str] = []
        self._scores: list[np.ndarray] = []

    def add(self, frame: str, prediction: np.ndarray, reference: np.ndarray) -> None:
        """Score one frame.

        Args:
            frame: its name.
            prediction: (H, W) uint8 proposals 1..20, 0 background.
            reference: (H, W) uint8 ids; 255 is left out of both.

        Raises:
            DataError: the sizes differ, or a proposal has an id above 20.
        """
        check_size(self.name, frame, prediction, reference)
        proposals = int(prediction.max(initial=0))
        if proposals > MAX_PROPOSALS:
            raise DataError(f"sequence {self.name}, frame {frame}: the prediction has id {proposals}, but at most "
                            f"{MAX_PROPOSALS} proposals (ids 1..{MAX_PROPOSALS}) are allowed; keep the best ones")
        # The id counts for the number of proposals even where void hides it.
        self.num_proposals = max(self.num_proposals, proposals)
        self.frames.append(frame)
        self._scores.append(pair_scores(prediction, reference, MAX_PROPOSALS, self.num_objects))

    def result(self) -> dict:
        """``{"frames": [names], "objects": {id: entry}}``; an entry also names its ``proposal``.

        Raises:
            DataError: the sequence has no frame.
        """
        from scipy.optimize import linear_sum_assignment

        if not self.frames:
            raise DataError(f"sequence {self.name}: no frame is left to score")
        rows = max(self.num_proposals, self.num_objects)
        region, boundary = np.stack(self._scores, axis=-1)[:, :rows]
        quality = (np.mean(region, axis=2) + np.mean(boundary, axis=2)) / 2
        pairs = sorted((int(k), int(p)) for p, k in zip(*linear_sum_assignment(-quality), strict=True))
        return {"frames": list(self.frames),
                "objects": {str(k + 1): {"proposal": p + 1, **object_result(region[p, k], boundary[p, k])}
                            for k, p in pairs}}


def pair_scores(prediction: np.ndarray, reference: np.ndarray, num_proposals: int, num_objects: int) -> np.ndarray:
    """J and F of every proposal with every object of one frame.

    Args:
        prediction: (H, W) uint8 proposals.
        reference: (H, W) uint8 ids; 255 = void, removed from both.

    Returns:
        (2, num_proposals, num_objects) float64: J, F.
    """
    prediction = np.where(reference == VOID, 0, prediction).astype(np.uint8)
    proposals = [_Region(prediction, i) for i in range(1, num_proposals + 1)]
    objects = [_Region(reference, i) for i in range(1, num_objects + 1)]
    joint = np.bincount((prediction.astype(np.intp) * 256 + reference).ravel(), minlength=65536).reshape(256, 256)
    scores = np.empty((2, num_proposals, num_objects))
    for p, proposal in enumerate(proposals):
        for k, target in enumerate(objects):
            common = int(joint[p + 1, k + 1])
            scores[0, p, k] = jaccard(common, proposal.area + target.area - common)
            scores[1, p, k] = f_measure(proposal.matched_by(target), proposal.length,
                                        target.matched_by(proposal), target.length)
    return scores


class _Region:
    """One mask of a label map with its boundary and the pixels within the tolerance of it, computed once."""

    def __init__(self, labels: np.ndarray, number: int):
        mask = (labels == number).view(np.uint8)
        self.area = cv2.countNonZero(mask)
        self.length = 0
        if not self.area:
            return
        radius = boundary_tolerance(*mask.shape)
        left, top, width, height = cv2.boundingRect(mask)
        # One pixel more because the boundary lies up and left of the mask, the radius more for what is in reach.
        self.top, self.left = max(top - radius - 1, 0), max(left - radius - 1, 0)
        window = mask[self.top:top + height + radius + 1, self.left:left + width + radius + 1]
        contour = boundary_map(window)
        self.rows, self.columns = np.nonzero(contour)
        self.length = len(self.rows)
        self.rows, self.columns = self.rows + self.top, self.columns + self.left
        self.near = cv2.dilate(contour, disk_kernel(radius))

    def matched_by(self, other: "_Region") -> int:
        """Number of boundary pixels of this region within the tolerance of the other's boundary."""
        if not self.length or not other.length:
            return 0
        rows, columns = self.rows - other.top, self.columns - other.left
        height, width = other.near.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return int(np.count_nonzero(other.near[rows[inside], columns[inside]]))
