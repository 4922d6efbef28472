"""A convolution that keeps packed weights for inference."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from .context import FrameContext, current
from .folded import FoldedConv

NO_NORM = nn.Identity()


class FoldingConv(nn.Conv2d):
    """Base of convolutions that run on folded, packed weights in inference, and forget them in training and copies.

    Attributes:
        lean: set by the segmentor: packed weights replace the layer's own instead of standing beside them. From then on
            the layer only serves inference of the same type; whatever else it is asked for raises a RuntimeError.
    """

    always_dense: ClassVar[bool] = False
    lean = False
    _folded: FoldedConv | None = None

    def folding_context(self) -> FrameContext | None:
        """The frame loop if weights may be folded now (it folds; no training, no gradient), else None."""
        context = current()
        if context is None or not context.fold or self.training or torch.is_grad_enabled():
            self.need_weight("computed outside of inference on a video")
            return None
        return context

    def folded(self, x: Tensor, norm: nn.Module, relu: bool) -> FoldedConv:
        """Packed weights for the type of ``x``; made anew when weights or norm have changed."""
        if self._folded is None or self._folded.stamp_of_weights != FoldedConv.stamp(self, x, norm, relu):
            self.need_weight("packed anew, for another type or a changed norm")
            self._folded = FoldedConv(self, x, norm, relu, always_dense=self.always_dense, lean=self.lean)
            if self.lean and self.runs_packed(self._folded):
                self.weight = nn.Parameter(torch.empty_like(self.weight, device="meta"), self.weight.requires_grad)
            self._folded.stamp_of_weights = FoldedConv.stamp(self, x, norm, relu)
        return self._folded

    def runs_packed(self, folded: FoldedConv) -> bool:
        """Whether the layer never looks at its own weight again in inference."""
        return folded.prepared.packed is not None

    def need_weight(self, purpose: str) -> None:
        """Raise unless the layer has its weight, which a lean one gives up for the packed form."""
        if self.weight.is_meta and self._folded is not None:
            raise RuntimeError(f"a lean {type(self).__name__} holds its weight in packed form only and cannot be "
                               f"{purpose}: build the model anew, with lean=False for more than inference")

    def train(self, mode: bool = True) -> "FoldingConv":
        """Forget packed weights: they may change now without being noticed."""
        if mode:
            self.need_weight("trained")
        if not self.weight.is_meta:
            self._folded = None
        return super().train(mode)

    def _save_to_state_dict(self, *args) -> None:
        self.need_weight("saved")
        super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, *args) -> None:
        self.need_weight("loaded")
        super()._load_from_state_dict(*args)

    def __getstate__(self) -> dict:
        self.need_weight("copied")
        return {**self.__dict__, "_folded": None}
