"""The loss of EfficientVIS: one-to-one matching over whole tracklets, Eq. 4 and Eq. 5."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ...registry import LOSSES
from ...utils.errors import ConfigError, DataError
from ..tracklets.boxes import iou_and_giou
from ..tracklets.interaction import InteractionOutput
from .tracklet_matching import (
    TrackletTargets,
    assign,
    box_cost,
    class_cost,
    crop_targets,
    focal_terms,
    mask_iou,
)

Matches = list[tuple[Tensor, Tensor]]
"""Per video the indices of matched tracklets and those of their instances."""


@LOSSES.register_module(role="tracklets", examples=[dict(), dict(mask_match_weight=0.0)])
class TrackletLoss(nn.Module):
    """Match tracklets with instances, and measure how far they are from them.

    Weights are those of Sparse R-CNN and QueryInst (focal 2, L1 5, GIoU 2, dice 8); the paper adds binary cross-entropy
    on masks, which are to be empty where the instance is absent. Like there, sums over a batch are divided by the
    number of frames with an instance (cross-entropy, which all frames have: by the number of all frames), so that for
    clips of one frame everything is what the ancestors compute. With several processes the numbers are their means,
    so that averaged gradients are those of one process with all clips.

    Args:
        cls_weight, l1_weight, giou_weight: of the classes and boxes, in the loss and in the matching cost.
        dice_weight, ce_weight: of the masks, in the loss.
        mask_match_weight: of the mask IoU in the matching cost; 0 leaves masks out, as the ancestors do.
        alpha, gamma: of the focal loss.
    """

    def __init__(self, cls_weight: float = 2.0, l1_weight: float = 5.0, giou_weight: float = 2.0,
                 dice_weight: float = 8.0, ce_weight: float = 1.0, mask_match_weight: float = 2.0, alpha: float = 0.25,
                 gamma: float = 2.0):
        super().__init__()
        for name, value in (("cls_weight", cls_weight), ("l1_weight", l1_weight), ("giou_weight", giou_weight),
                            ("dice_weight", dice_weight), ("ce_weight", ce_weight),
                            ("mask_match_weight", mask_match_weight)):
            if value < 0:
                raise ConfigError(f"TrackletLoss.{name} must be at least 0, got {value}")
        self.cls_weight, self.l1_weight, self.giou_weight = cls_weight, l1_weight, giou_weight
        self.dice_weight, self.ce_weight, self.mask_match_weight = dice_weight, ce_weight, mask_match_weight
        self.alpha, self.gamma = alpha, gamma

    @torch.no_grad()
    def match(self, output: InteractionOutput, targets: list[TrackletTargets],
              fixed: Matches | None = None) -> Matches:
        """Assign tracklets to instances (Eq. 4).

        Args:
            output: of an interaction.
            targets: B targets.
            fixed: matches that stay, those of the first clip of a pair. Instances that are present but not among them
                are matched with the tracklets that are left: nothing can know them from the first clip.

        Raises:
            DataError: a video has more instances than there are tracklets.
        """
        if fixed is None:
            return [self._match(output, row, target, []) for row, target in enumerate(targets)]
        matches = []
        for row, (target, (kept, instances)) in enumerate(zip(targets, fixed, strict=True)):
            new = self._match(output, row, target, kept.tolist(), known=instances.tolist())
            matches.append((torch.cat([kept, new[0]]), torch.cat([instances, new[1]])))
        return matches

    def _match(self, output: InteractionOutput, row: int, target: TrackletTargets, taken: list[int],
               known: list[int] | None = None) -> tuple[Tensor, Tensor]:
        count, device = output.logits.shape[2], output.logits.device
        visible = target.present.any(dim=1).nonzero()[:, 0].tolist()
        wanted = [g for g in visible if g not in (known or [])]
        free = [n for n in range(count) if n not in taken]
        if len(wanted) > len(free):
            raise DataError(f"a clip has {len(wanted) + len(taken)} instances but the model {count} tracklet queries: "
                            "raise model.queries.num_queries, or set max_tracks of the data set")
        wanted, free = torch.tensor(wanted, device=device).long(), torch.tensor(free, device=device).long()
        if not len(wanted):
            return wanted, wanted
        chosen = TrackletTargets(target.labels[wanted], target.boxes[wanted], target.present[wanted],
                                 target.masks[wanted], target.scale)
        tracklets, instances = assign(self.cost(output, row, chosen)[free])
        return free[tracklets], wanted[instances]

    def cost(self, output: InteractionOutput, row: int, target: TrackletTargets) -> Tensor:
        """Matching cost (N, G) of the tracklets of video ``row``."""
        boxes = output.boxes[row].float()
        cost = self.cls_weight * class_cost(output.logits[row], target, self.alpha, self.gamma)
        cost = cost + box_cost(boxes, target, self.l1_weight, self.giou_weight)
        if self.mask_match_weight:
            cost = cost - self.mask_match_weight * mask_iou(output.masks[row], boxes, target)
        return cost

    def forward(self, output: InteractionOutput, targets: list[TrackletTargets],
                matches: Matches) -> dict[str, Tensor]:
        """Weighted losses (Eq. 5): ``cls``, ``l1``, ``giou``, ``dice``, ``ce``."""
        shown, entries = counts(targets, matches)
        sums = {"cls": self._classes(output.logits.float(), targets, matches)}
        for row, (target, (tracklets, instances)) in enumerate(zip(targets, matches, strict=True)):
            parts = self._boxes(output.boxes[row][:, tracklets].transpose(0, 1).float(), target, instances)
            parts.update(self._masks(output, row, target, tracklets, instances))
            sums.update({name: sums.get(name, 0.0) + value for name, value in parts.items()})
        weights = dict(cls=self.cls_weight, l1=self.l1_weight, giou=self.giou_weight, dice=self.dice_weight,
                       ce=self.ce_weight)
        return {name: weights[name] * value / (entries if name == "ce" else shown) for name, value in sums.items()}

    def _classes(self, logits: Tensor, targets: list[TrackletTargets], matches: Matches) -> Tensor:
        truth = torch.zeros_like(logits, dtype=torch.bool)
        for row, (target, (tracklets, instances)) in enumerate(zip(targets, matches, strict=True)):
            truth[row][:, tracklets, target.labels[instances]] = target.present[instances].T
        positive, negative = focal_terms(logits, self.alpha, self.gamma)
        return torch.where(truth, positive, negative).sum()

    def _boxes(self, boxes: Tensor, target: TrackletTargets, instances: Tensor) -> dict[str, Tensor]:
        there = target.present[instances]
        ours, theirs = boxes[there], target.boxes[instances][there]
        return {"l1": ((ours - theirs) / target.scale).abs().sum(),
                "giou": (1 - iou_and_giou(ours, theirs)[1]).sum()}

    def _masks(self, output: InteractionOutput, row: int, target: TrackletTargets, tracklets: Tensor,
               instances: Tensor) -> dict[str, Tensor]:
        logits = output.masks[row][:, tracklets, target.labels[instances]].transpose(0, 1).float()  # (G, T, S, S)
        chosen = TrackletTargets(target.labels[instances], target.boxes[instances], target.present[instances],
                                 target.masks[instances], target.scale)
        boxes = output.boxes[row][:, tracklets].transpose(0, 1)[:, :, None]
        truth = crop_targets(chosen, boxes, logits.shape[-1])[:, :, 0]
        ce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(-2, -1)).sum()
        return {"dice": dice(logits[chosen.present], truth[chosen.present]).sum(), "ce": ce}


def dice(logits: Tensor, truth: Tensor, eps: float = 1e-5) -> Tensor:
    """1 - 2 p.g / (p.p + g.g) of (M, S, S) logits and masks (Milletari et al., 2016), per mask as in QueryInst."""
    p, g = logits.sigmoid().flatten(1), truth.flatten(1)
    return 1 - 2 * (p * g).sum(dim=1) / (p.square().sum(dim=1) + eps + g.square().sum(dim=1) + eps)


def counts(targets: list[TrackletTargets], matches: Matches) -> tuple[float, float]:
    """Frames in which matched instances are present, and all frames of them; means over processes, at least 1."""
    shown = sum(int(t.present[g].sum()) for t, (_, g) in zip(targets, matches, strict=True))
    entries = sum(t.present[g].numel() for t, (_, g) in zip(targets, matches, strict=True))
    both = targets[0].boxes.new_tensor([shown, entries], dtype=torch.float32)
    all_reduce(both, op="mean")  # leaves the numbers of a single process as they are
    shown, entries = both.clamp(min=1).tolist()
    return shown, entries
