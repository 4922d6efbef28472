"""The teacher's masks as labels."""

from torch import Tensor, nn

from ...registry import LOSSES
from ..layers.aggregate import winners
from .pair import PairLoss

DEFAULT = (dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, weight=0.5),
           dict(type="SoftJaccardLoss", weight=0.5))


@LOSSES.register_module(role="pair", examples=[dict(), dict(losses=[dict(type="DiceLoss")])])
class PseudoLabelLoss(PairLoss):
    """Losses on masks, with the arg-max of the teacher where its training has true labels.

    Args:
        losses: configs of losses on masks, summed by their own weights; AOT's by default (cross-entropy of the hardest
            pixels and soft Jaccard).
        weight: of the loss in the sum.
    """

    name, reads = "pseudo", "logits"

    def __init__(self, losses: list[dict] | None = None, weight: float = 1.0):
        super().__init__()
        self.losses = nn.ModuleList(LOSSES.build(dict(loss)) for loss in losses or DEFAULT)
        self.weight = weight

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, O + 1, h, w) logits of both -> scalar."""
        labels = winners(teacher).long()
        return sum(loss.pixels(student, labels) * loss.weight for loss in self.losses)
