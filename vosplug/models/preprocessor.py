"""Normalisation and padding, the same for training and inference."""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..registry import PREPROCESSORS
from ..utils.masks import VOID

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Geometry:
    """How a frame was brought to the size that the model sees.

    Attributes:
        size: (H, W) of the frame before padding.
        pad: pixels added at (left, right, top, bottom).
    """

    size: tuple[int, int]
    pad: tuple[int, int, int, int]


@PREPROCESSORS.register_module()
class VOSPreprocessor(BaseDataPreprocessor):
    """Scale to 0..1, normalise, and pad with zeros to a multiple of ``divisor``.

    Padding comes after normalisation, is spread over both sides, the smaller half first, as in STCN and XMem.

    Args:
        mean, std: of the channels (RGB), for values in 0..1.
        divisor: both sides of the padded frame are multiples of this.
    """

    def __init__(self, mean: tuple = IMAGENET_MEAN, std: tuple = IMAGENET_STD, divisor: int = 16,
                 non_blocking: bool = False):
        super().__init__(non_blocking=non_blocking)
        self.divisor = divisor
        self.mean, self.std = tuple(mean), tuple(std)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """Padding of frames of ``size`` (H, W)."""
        height, width = (-s % self.divisor for s in size)
        return Geometry(tuple(size), (width // 2, width - width // 2, height // 2, height - height // 2))

    def normalize(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) with values 0..255 -> normalised, in the floating type that the module was cast to."""
        scale = self.anchor.new_tensor([1 / (255 * s) for s in self.std]).view(3, 1, 1)
        shift = self.anchor.new_tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)]).view(3, 1, 1)
        return torch.addcmul(shift, images.to(self.anchor), scale)

    def denormalize(self, frames: Tensor) -> Tensor:
        """The inverse of :meth:`normalize`: (..., 3, H, W) -> values 0..255."""
        scale = frames.new_tensor([255 * s for s in self.std]).view(3, 1, 1)
        return torch.addcmul(frames.new_tensor([255 * m for m in self.mean]).view(3, 1, 1), frames, scale)

    def frames(self, images: Tensor) -> tuple[Tensor, Geometry]:
        """(B, 3, H, W) RGB 0..255 -> ((B, 3, H', W') normalised and padded, geometry)."""
        geometry = self.geometry(tuple(images.shape[-2:]))
        return F.pad(self.normalize(images), geometry.pad), geometry

    def masks(self, masks: Tensor, geometry: Geometry, value: float = 0) -> Tensor:
        """(..., H, W) -> (..., H', W'), padded with ``value``."""
        return F.pad(masks, geometry.pad, value=value)

    def restore(self, x: Tensor, geometry: Geometry) -> Tensor:
        """(..., H', W') -> (..., H, W): cut the padding off."""
        left, _, top, _ = geometry.pad
        height, width = geometry.size
        return x[..., top : top + height, left : left + width]

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Collated clips -> batch on the device of the model.

        Args:
            data: ``inputs``, B tensors (T, 3, H, W) uint8 of one size, and ``data_samples``, B clip samples.

        Returns:
            ``inputs`` (B, T, 3, H', W') and the samples with padded labels (void in the padding).
        """
        data = self.cast_data(data)
        inputs = data["inputs"]
        images = torch.stack(list(inputs)) if not isinstance(inputs, Tensor) else inputs
        geometry = self.geometry(tuple(images.shape[-2:]))
        padded = F.pad(self.normalize(images), geometry.pad)
        samples = data.get("data_samples")
        if samples is not None:
            samples = [replace(s, labels=self.masks(s.labels, geometry, value=VOID)) for s in samples]
        return dict(inputs=padded, data_samples=samples)
