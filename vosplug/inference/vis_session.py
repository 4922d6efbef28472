"""Finding the instances of one video, clip by clip."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from ..utils.errors import InputError
from .session import AMP_TYPES, prepare_model
from .track_recorder import TrackRecorder
from .view import resize_image


class VISSession:
    """The instances of one video, found by a clip-level model; frames are given one by one and forgotten after a clip.

    Args:
        model: a :class:`~vosplug.models.segmentors.BaseVISSegmentor`; it is set to evaluation mode.
        size: (H, W) that frames are resized to fit in, keeping their ratio, as in training; None takes them as they
            are. Masks come at native size.
        clip_length: frames per clip; None takes that of the model.
        min_score: see :class:`TrackRecorder`.
        amp: ``bf16`` or ``fp16``: autocast type; None computes in the type of the weights.
        channels_last: memory format of the weights.
        device: device to move the model to; None leaves it where it is.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int] | None = None, clip_length: int | None = None,
                 min_score: float = 0.05, amp: str | None = None, channels_last: bool = False,
                 device: str | torch.device | None = None):
        if clip_length is not None and clip_length < 1:
            raise InputError(f"clip_length must be at least 1, got {clip_length}")
        if size is not None and (len(tuple(size)) != 2 or min(size) < 16):
            raise InputError(f"size must be two numbers (H, W) of at least 16, got {size!r}")
        if amp is not None and amp not in AMP_TYPES:
            raise InputError(f"amp must be one of {', '.join(AMP_TYPES)} or None, got {amp!r}")
        self.model = prepare_model(model, device, channels_last)
        self.size, self.clip_length = size, clip_length or model.clip_length
        self.min_score, self.amp = min_score, amp
        self._state: Any = model.init_state()
        self._images: list[np.ndarray] = []
        self._recorder: TrackRecorder | None = None

    def add(self, image: np.ndarray) -> None:
        """Take the next frame, (H, W, 3) uint8 RGB; a full clip is segmented at once.

        Raises:
            InputError: it is no such picture, or has another size than the frames before.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a frame must be a uint8 array (H, W, 3), got {found}")
        if self._recorder is None:
            self._recorder = TrackRecorder(image.shape[:2], min_score=self.min_score)
        if image.shape[:2] != self._recorder.size:
            raise InputError(f"a frame is {image.shape[0]}x{image.shape[1]} after frames of {self._recorder.size[0]}x"
                             f"{self._recorder.size[1]}: all frames of a video need one size")
        self._images.append(resize_image(image, self._internal(image.shape[:2])))
        if len(self._images) == self.clip_length:
            self._segment()

    def finish(self) -> list[dict]:
        """End the video: the tracks, as :meth:`TrackRecorder.tracks` gives them; none for a video without frames."""
        if self._images:
            self._segment()
        return [] if self._recorder is None else self._recorder.tracks()

    def _internal(self, native: tuple[int, int]) -> tuple[int, int]:
        if self.size is None:
            return tuple(native)
        factor = min(self.size[0] / native[0], self.size[1] / native[1])
        return max(1, round(native[0] * factor)), max(1, round(native[1] * factor))

    @torch.inference_mode()
    def _segment(self) -> None:
        images, self._images = np.stack(self._images), []
        device = next(self.model.parameters()).device
        frames = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        clip, geometry = self.model.data_preprocessor.frames(frames)
        dtype = AMP_TYPES.get(self.amp)
        with nullcontext() if dtype is None else torch.autocast(device.type, dtype):
            tracks = self.model.step(self._state, clip[None], [geometry.size])
        native = self._recorder.size
        self._recorder.add(tracks, (native[0] / geometry.size[0], native[1] / geometry.size[1]))
