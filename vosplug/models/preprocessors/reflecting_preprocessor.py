"""Padding to a multiple by reflection, as in TTVOS."""

import torch
from torch import Tensor

from ...registry import PREPROCESSORS
from .vos_preprocessor import VOSPreprocessor


@PREPROCESSORS.register_module(examples=[dict()])
class ReflectingPreprocessor(VOSPreprocessor):
    """Pad pictures and given masks to a multiple of ``divisor`` by reflection, the larger half first.

    The outermost pixels are not repeated. Labels of training clips are void in the padding, since no loss looks there.
    Options are those of :class:`VOSPreprocessor`.
    """

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """How many of ``height`` and ``width`` pixels that are to be added come to (left, right, top, bottom)."""
        return width - width // 2, width // 2, height - height // 2, height // 2

    def pad(self, x: Tensor, pad: tuple[int, int, int, int], value: float = 0) -> Tensor:
        """Reflect (..., H, W); a ``value`` other than zero is that of the padding."""
        if value or not any(pad):
            return super().pad(x, pad, value)
        rows, columns = mirrored(x.shape[-2], *pad[2:]), mirrored(x.shape[-1], *pad[:2])
        return x[..., rows.to(x.device)[:, None], columns.to(x.device)]


def mirrored(length: int, before: int, after: int) -> Tensor:
    """Which of ``length`` pixels in a row each pixel of the padded row shows, (before + length + after,) int64.

    The row is read to and fro, so that it may be shorter than what is added.
    """
    turn = max(1, 2 * (length - 1))
    places = torch.arange(-before, length + after) % turn
    return torch.minimum(places, turn - places) if length > 1 else torch.zeros_like(places)
