"""Normalisation and padding of clips."""

from typing import Any

import torch
import torch.nn.functional as F

from ...registry import PREPROCESSORS
from ...structures import Geometry
from .vos_preprocessor import VOSPreprocessor, limiting_ratio


@PREPROCESSORS.register_module(examples=[dict(divisor=32)])
class VISPreprocessor(VOSPreprocessor):
    """As :class:`VOSPreprocessor`, but padding comes to the right and below only, so that boxes stay where they are.

    Args:
        mean, std, non_blocking: see :class:`VOSPreprocessor`.
        divisor: both sides of the padded frame are multiples of this; 32 is the coarsest level of an FPN.
    """

    family = "vis"

    def geometry(self, native: tuple[int, int], *, fit: tuple[int, int] | None = None, scale: float = 1.0,
                 max_short_side: int | None = None, max_long_side: int | None = None) -> Geometry:
        """See :meth:`VOSPreprocessor.geometry`.

        Args:
            native: size (H, W) of the frames as they are read.
            fit: size (H, W) that frames, their ratio kept, are resized to fit in before all else, smaller ones too.
            scale, max_short_side, max_long_side: as there.
        """
        ratio = 1.0 if fit is None else min(fit[0] / native[0], fit[1] / native[1])
        limit = limiting_ratio((native[0] * ratio, native[1] * ratio), max_short_side, max_long_side)
        return self._of_ratio(native, ratio * scale * limit)

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """All of it to the right and below."""
        return 0, width, 0, height

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Collated clips or pairs of clips -> batch on the device of the model.

        Args:
            data: ``inputs``, B items, each a clip (T, 3, H, W) uint8 or P clips of one video; sizes of items may
                differ, T may not. ``data_samples`` alike.

        Returns:
            ``inputs``, P tensors (B, T, 3, H', W'), frames of smaller items padded with zeros; ``data_samples``, P
            lists of B samples, which are not padded.
        """
        data = self.cast_data(data)
        items = [item if isinstance(item, (list, tuple)) else [item] for item in data["inputs"]]
        sides = [max(clip.shape[side] for item in items for clip in item) for side in (-2, -1)]
        height, width = (side + -side % self.divisor for side in sides)
        clips = [torch.stack([self._padded(item[p], height, width) for item in items]) for p in range(len(items[0]))]
        samples = data.get("data_samples")
        if samples is not None:
            rows = [row if isinstance(row, (list, tuple)) else [row] for row in samples]
            samples = [list(column) for column in zip(*rows, strict=True)]
        return dict(inputs=clips, data_samples=samples)

    def _padded(self, clip: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return F.pad(self.normalize(clip), (0, width - clip.shape[-1], 0, height - clip.shape[-2]))
