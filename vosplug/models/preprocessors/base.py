"""The whole way from native to network size and back, the same for training and inference."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ...structures import Geometry
from ...utils.errors import InputError
from ...utils.masks import VOID
from .resizing import resize_bilinear, resize_masks, resize_window

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BasePreprocessor(BaseDataPreprocessor, ABC):
    """Resize, normalise and pad frames; bring masks to the same size, and logits back to native size.

    A method states its rule of sizes (:meth:`geometry`) and how pictures and masks are sampled. Padding comes after
    normalisation, and is zero unless :meth:`pad` says otherwise.

    Args:
        mean, std: of the channels (RGB), for values in 0..1.
        non_blocking: as in mmengine.

    Attributes:
        family: of the models that it prepares frames for, see :class:`~..segmentors.task_model.TaskModel`.
        align_corners: how logits are interpolated: the outermost pixels keep their places (True), or the edges of the
            picture do.
    """

    family = "vos"
    align_corners = False

    def __init__(self, mean: tuple = IMAGENET_MEAN, std: tuple = IMAGENET_STD, non_blocking: bool = False):
        super().__init__(non_blocking=non_blocking)
        self.mean, self.std = tuple(mean), tuple(std)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    # What a method states -----------------------------------------------------------------------------------------

    @abstractmethod
    def geometry(self, native: tuple[int, int], *, scale: float = 1.0, max_short_side: int | None = None,
                 max_long_side: int | None = None) -> Geometry:
        """The way of frames of ``native`` size (H, W).

        Args:
            native: size of the frames as they are read.
            scale: factor on the size that the limits leave.
            max_short_side, max_long_side: larger frames are made smaller, their ratio kept.
        """

    @abstractmethod
    def resize_image(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize one picture (H, W, 3), uint8 or floating, to ``size`` (h, w)."""

    @abstractmethod
    def nearest(self, length: int, wanted: int) -> np.ndarray:
        """Which of ``length`` pixels in a row each of ``wanted`` pixels of a resized mask takes, (wanted,) int64."""

    def pad(self, x: Tensor, pad: tuple[int, int, int, int], value: float = 0) -> Tensor:
        """Pad (..., H, W), pictures or masks, by (left, right, top, bottom) pixels; by default with ``value``."""
        return F.pad(x, pad, value=value)

    # There --------------------------------------------------------------------------------------------------------

    def resize(self, images: Tensor, geometry: Geometry) -> Tensor:
        """(B, 3, H, W) at native size -> (B, 3, h, w), not yet normalised nor padded; identity if they have that size.

        Pictures are resized on the CPU, so that every device sees the same numbers.
        """
        size = tuple(images.shape[-2:])
        if size == geometry.size:
            return images
        self._check_size("frames", size, geometry)
        pictures = [np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()) for image in images]
        resized = [torch.from_numpy(self.resize_image(picture, geometry.size)) for picture in pictures]
        return torch.stack([picture.permute(2, 0, 1) for picture in resized])

    def normalize(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) with values 0..255 -> normalised, in the floating type that the module was cast to."""
        scale = self.anchor.new_tensor([1 / (255 * s) for s in self.std]).view(3, 1, 1)
        shift = self.anchor.new_tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)]).view(3, 1, 1)
        images = images.to(self.anchor.device, non_blocking=True).to(self.anchor.dtype)
        return torch.addcmul(shift, images, scale)

    def denormalize(self, frames: Tensor) -> Tensor:
        """The inverse of :meth:`normalize`: (..., 3, H, W) -> values 0..255."""
        scale = frames.new_tensor([255 * s for s in self.std]).view(3, 1, 1)
        return torch.addcmul(frames.new_tensor([255 * m for m in self.mean]).view(3, 1, 1), frames, scale)

    def frames(self, images: Tensor, geometry: Geometry | None = None) -> tuple[Tensor, Geometry]:
        """What the network sees of frames.

        Args:
            images: (B, 3, H, W) RGB, 0..255, uint8 or floating, at native size (or resized to ``geometry.size``).
            geometry: see :meth:`geometry`; by default that of the size of the images, without limits.

        Returns:
            (B, 3, H', W') on the device and in the type of the module, and the geometry.
        """
        geometry = geometry or self.geometry(tuple(images.shape[-2:]))
        return self.pad(self.normalize(self.resize(images, geometry)), geometry.pad), geometry

    def masks(self, masks: Tensor, geometry: Geometry, value: float = 0) -> Tensor:
        """Bring masks, or label maps, from native to network size by the nearest neighbour.

        Args:
            masks: (..., H, W): a mask each (floating or bool), or label maps (whole numbers).
            geometry: see :meth:`geometry`.
            value: of the padding.

        Returns:
            (..., H', W'). An object that would vanish keeps the pixels that it touches.
        """
        size = tuple(masks.shape[-2:])
        if size != geometry.size:
            self._check_size("masks", size, geometry)
            rows, columns = (torch.from_numpy(self.nearest(*sides)) for sides in zip(size, geometry.size, strict=True))
            masks = resize_masks(masks, rows, columns)
        return self.pad(masks, geometry.pad, value)

    # And back -----------------------------------------------------------------------------------------------------

    def restore(self, x: Tensor, geometry: Geometry) -> Tensor:
        """Bring logits or the like to native size: cut the padding off and interpolate, once.

        Args:
            x: (..., H', W'), or of the coarser size that a method works at; what has native size stays as it is.
            geometry: see :meth:`geometry`.

        Returns:
            (..., H, W). What is -inf everywhere (objects that a video of the batch lacks) stays so.
        """
        size = tuple(x.shape[-2:])
        if size == geometry.network:
            left, _, top, _ = geometry.pad
            x = x[..., top : top + geometry.size[0], left : left + geometry.size[1]]
        elif size != geometry.native and any(geometry.pad):
            return resize_window(x, geometry)
        return resize_bilinear(x, geometry.native, self.align_corners)

    # Training -----------------------------------------------------------------------------------------------------

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Collated clips -> batch on the device of the model.

        Args:
            data: ``inputs``, B tensors (T, 3, H, W) uint8 of one size, and ``data_samples``, B clip samples.

        Returns:
            ``inputs`` (B, T, 3, H', W') and the samples with labels of that size (void in the padding).
        """
        data = self.cast_data(data)
        inputs = data["inputs"]
        images = torch.stack(list(inputs)) if not isinstance(inputs, Tensor) else inputs
        x, geometry = self.frames(images.flatten(0, 1))
        samples = data.get("data_samples")
        if samples is not None:
            samples = [replace(s, labels=self.masks(s.labels, geometry, value=VOID)) for s in samples]
        return dict(inputs=x.unflatten(0, images.shape[:2]), data_samples=samples)

    def _check_size(self, what: str, size: tuple[int, int], geometry: Geometry) -> None:
        if size != geometry.native:
            raise InputError(f"{what} are {size[0]}x{size[1]} (height x width), the video is {geometry.native[0]}x"
                             f"{geometry.native[1]}: give {what} at the size of the video")
