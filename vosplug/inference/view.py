"""One scale and orientation in which a video is segmented."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers.aggregate import full_precision
from ..structures import Prompt, VideoState
from .given_masks import GivenMasks


def internal_size(native: tuple[int, int], max_short_side: int | None, scale: float = 1.0) -> tuple[int, int]:
    """Size (h, w) at which frames of ``native`` size are segmented: the short side is limited, then scaled."""
    ratio = scale
    if max_short_side is not None:
        ratio *= min(1.0, max_short_side / min(native))
    return tuple(max(1, round(side * ratio)) for side in native)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to ``size`` (h, w): by area when it shrinks, bilinearly when it grows."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@dataclass
class View:
    """One scale and orientation of a video, with its own state. Views of a session run in lockstep.

    Attributes:
        state: state of the model for this view.
        scale: factor on the internal size.
        flip: mirrored left-right.
        channels_last: memory format of the frames.
    """

    state: VideoState
    scale: float = 1.0
    flip: bool = False
    channels_last: bool = False

    def step(self, model: nn.Module, image: np.ndarray, given: GivenMasks | None, *, max_short_side: int | None,
             last: bool) -> Tensor:
        """Segment one frame.

        Args:
            model: the segmentor.
            image: (H, W, 3) uint8 RGB at native size.
            given: masks of the objects that start here.
            max_short_side: limit of the internal size.
            last: no frame follows.

        Returns:
            Logits (O + 1, H, W) at native size, float32 or float64.
        """
        native = image.shape[:2]
        size = internal_size(native, max_short_side, self.scale)
        preprocessor = model.data_preprocessor
        device = next(model.parameters()).device
        frame, geometry = preprocessor.frames(self._tensor(resize_image(image, size), device))
        prompt = None
        if given is not None:
            masks = self._mirror(torch.from_numpy(given.resized(size)).to(frame)[None])
            prompt = Prompt(ids=given.ids, masks=preprocessor.masks(masks, geometry))
        if self.channels_last:
            frame = frame.contiguous(memory_format=torch.channels_last)
        logits = full_precision(model.step(self.state, frame, prompt, last=last).logits)
        logits = self._mirror(preprocessor.restore(logits, geometry))
        if tuple(logits.shape[-2:]) != tuple(native):
            logits = F.interpolate(logits, size=native, mode="bilinear", align_corners=False)
        return logits[0]

    def _tensor(self, image: np.ndarray, device: torch.device) -> Tensor:
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
        return self._mirror(pixels.to(device, non_blocking=True).permute(2, 0, 1)[None])

    def _mirror(self, x: Tensor) -> Tensor:
        return x.flip(-1) if self.flip else x
