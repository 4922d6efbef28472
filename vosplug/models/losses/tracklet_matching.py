"""What it costs to let a predicted tracklet stand for an instance (EfficientVIS, Eq. 4)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...structures import VISClipSample
from ..tracklets.boxes import area, iou_and_giou
from ..tracklets.roi_align import roi_align


@dataclass
class TrackletTargets:
    """The G instances of one clip, on the device of the model.

    Attributes:
        labels: (G,) int64 classes.
        boxes: (G, T, 4) in pixels.
        present: (G, T) bool.
        masks: (G, T, H, W) bool.
        scale: (4,) width, height, width, height of the unpadded frame.
    """

    labels: Tensor
    boxes: Tensor
    present: Tensor
    masks: Tensor
    scale: Tensor

    @classmethod
    def of(cls, sample: VISClipSample, device: torch.device) -> "TrackletTargets":
        """Targets of a sample."""
        height, width = sample.masks.shape[-2:]
        return cls(sample.categories.to(device), sample.boxes.to(device), sample.present.to(device),
                   sample.masks.to(device), torch.tensor([width, height, width, height], device=device).float())

    def __len__(self) -> int:
        return len(self.labels)


def focal_terms(logits: Tensor, alpha: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Focal loss (Lin et al., 2017) of every logit if it belonged to its class, and if it did not."""
    p = logits.sigmoid()
    positive = -alpha * (1 - p) ** gamma * torch.nn.functional.logsigmoid(logits)
    negative = -(1 - alpha) * p ** gamma * torch.nn.functional.logsigmoid(-logits)
    return positive, negative


def class_cost(logits: Tensor, targets: TrackletTargets, alpha: float, gamma: float) -> Tensor:
    """(T, N, K) logits -> (N, G), mean over time.

    Where the instance is present, what it costs that its class has this score, as in the ancestors: focal loss as its
    class minus that as no class. Where it is absent the class to predict is background: the same difference for the
    class with the highest score, with the signs changed.
    """
    positive, negative = focal_terms(logits.float(), alpha, gamma)
    gain = positive - negative
    here = gain[:, :, targets.labels]  # (T, N, G)
    # The best class is that with the highest logit; `gain` falls with the logit, so it has the lowest gain.
    absent = -gain.amin(dim=-1, keepdim=True)
    return torch.where(targets.present.T[:, None], here, absent).mean(dim=0)


def box_cost(boxes: Tensor, targets: TrackletTargets, l1_weight: float, giou_weight: float) -> Tensor:
    """(T, N, 4) -> (N, G): L1 distance in shares of the frame and negated GIoU, over the frames with the instance."""
    ours, theirs = boxes[:, :, None], targets.boxes.transpose(0, 1)[:, None]
    distance = ((ours - theirs) / targets.scale).abs().sum(dim=-1)
    cost = l1_weight * distance - giou_weight * iou_and_giou(ours, theirs)[1]
    return (cost * targets.present.T[:, None]).mean(dim=0)


def crop_targets(targets: TrackletTargets, boxes: Tensor, size: int) -> Tensor:
    """What the masks of the instances look like inside boxes.

    Args:
        targets: G instances.
        boxes: (G, T, M, 4) in pixels: M boxes for each instance and frame.
        size: S, cells per side.

    Returns:
        (G, T, M, S, S) of 0 and 1.
    """
    instances, length, count = boxes.shape[:3]
    masks = targets.masks.flatten(0, 1)[:, None].float()
    index = torch.arange(len(masks), device=boxes.device, dtype=torch.float32).repeat_interleave(count)
    rois = torch.cat([index[:, None], boxes.detach().float().reshape(-1, 4)], dim=1)
    crops = roi_align(masks, rois, size, 1.0, 0)[:, 0] if len(rois) else masks.new_zeros(0, size, size)
    return (crops >= 0.5).float().view(instances, length, count, size, size)


def mask_iou(masks: Tensor, boxes: Tensor, targets: TrackletTargets) -> Tensor:
    """Soft IoU (N, G) of masks that fill their boxes with the instances, mean over T; 0 in frames without one.

    What lies outside the box counts as missed.

    Args:
        masks: (T, N, K, S, S) logits.
        boxes: (T, N, 4).
        targets: G instances.
    """
    size = masks.shape[-1]
    prob = masks.float().sigmoid()[:, :, targets.labels].permute(2, 0, 1, 3, 4)  # (G, T, N, S, S)
    truth = crop_targets(targets, boxes[None].expand(len(targets), -1, -1, -1), size)
    cell = area(boxes) / size ** 2  # (T, N)
    common = (prob * truth).sum(dim=(-2, -1)) * cell
    union = prob.sum(dim=(-2, -1)) * cell + targets.masks.flatten(2).sum(dim=-1)[..., None] - common
    iou = (common / union.clamp(min=1)).clamp(0, 1) * targets.present[..., None]
    return iou.mean(dim=1).T


def assign(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Cheapest one-to-one assignment of a (N, G) cost: indices of tracklets and of instances, both (min(N, G),)."""
    finite = torch.nan_to_num(cost.detach().float().cpu(), nan=1e6, posinf=1e6, neginf=-1e6)
    rows, columns = linear_sum_assignment(finite.numpy())
    return (torch.as_tensor(rows, dtype=torch.long, device=cost.device),
            torch.as_tensor(columns, dtype=torch.long, device=cost.device))
