"""Residual sparse convolution, a baseline."""

import torch
from torch import Tensor

from ....registry import SPARSE_CONVS
from .base import Executor, SparseConv
from .gates import REUSE, BinaryGate, Choice


@SPARSE_CONVS.register_module(examples=[dict()])
class ResidualSparseConv(SparseConv):
    """The previous output, to which sites may add the convolution of the input's change (Skip-Convolution).

    Habibian et al., "Skip-Convolutions for Efficient Video Processing", CVPR 2021. Changes of sites that are not
    computed are lost for good, so errors accumulate. In inference changes add up behind the norm and before the ReLU.

    Args: see :class:`~.base.SparseConv`.
    """

    adds = True

    def build_gate(self) -> BinaryGate:
        """See the base class."""
        return BinaryGate(self, otherwise=REUSE)

    def remember(self, x: Tensor) -> dict[str, Tensor]:
        """The input; in inference a copy, as the layer that made it may overwrite it on the next frame."""
        return {"x": x if torch.is_grad_enabled() else x.clone()}

    def ask(self, x: Tensor, kept: dict[str, Tensor], known: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The gate sees the change of the input; of a row without past all is change."""
        change = x - kept["x"]
        if known is not None:
            change = torch.where(known[:, None, None, None], change, x)
        return self.gate(change), change, self.remember(x)

    def carry_out(self, conv: Executor, x: Tensor, choice: Choice, kept: dict[str, Tensor], known: Tensor | None,
                  shortcut: Tensor | None) -> Tensor:
        """z_t = z_{t-1} + gate * conv(x_t - x_{t-1})."""
        return conv.add(x, choice, kept["out"], known)
