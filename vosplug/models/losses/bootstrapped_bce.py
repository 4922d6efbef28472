"""Binary cross-entropy of every slot on the hardest pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import LOSSES
from ...utils.masks import VOID
from .bootstrapped_ce import BootstrappedCE


@LOSSES.register_module(examples=[dict(), dict(start_warm=0, end_warm=0, top_p=0.2, count_void=True)])
class BootstrappedBCE(BootstrappedCE):
    """A sigmoid for the background and each object, as SST's section 3 has it in training; meaned over these.

    Options are those of :class:`~.bootstrapped_ce.BootstrappedCE`.
    """

    name = "bce"

    def map_of_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, O + 1, H, W) logits (-inf for objects a clip does not have), (B, H, W) labels -> (B, H, W)."""
        exists = ~logits.isneginf()
        slots = torch.arange(logits.shape[1], device=labels.device)[:, None, None]
        truth = (labels[:, None] == slots).to(logits.dtype)
        values = F.binary_cross_entropy_with_logits(logits.masked_fill(~exists, 0), truth, reduction="none") * exists
        return (values.sum(dim=1) / exists.sum(dim=1)).masked_fill(labels == VOID, 0)
