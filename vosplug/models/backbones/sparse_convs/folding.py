"""A convolution that keeps packed weights for inference."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from .context import FrameContext, current
from .folded import FoldedConv

NO_NORM = nn.Identity()


class FoldingConv(nn.Conv2d):
    """Base of convolutions that run on folded, packed weights in inference, and forget them in training and copies."""

    always_dense: ClassVar[bool] = False
    _folded: FoldedConv | None = None

    def folding_context(self) -> FrameContext | None:
        """The frame loop if weights may be folded now (it folds; no training, no gradient), else None."""
        context = current()
        if context is None or not context.fold or self.training or torch.is_grad_enabled():
            return None
        return context

    def folded(self, x: Tensor, norm: nn.Module, relu: bool) -> FoldedConv:
        """Packed weights for the type of ``x``; made anew when weights or norm have changed."""
        stamp = FoldedConv.stamp(self, x, norm, relu)
        if self._folded is None or self._folded.stamp_of_weights != stamp:
            self._folded = FoldedConv(self, x, norm, relu, stamp, always_dense=self.always_dense)
        return self._folded

    def train(self, mode: bool = True) -> "FoldingConv":
        """Forget packed weights: they may change now without being noticed."""
        self._folded = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_folded": None}
