"""Finding the instances of one video, clip by clip."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.backbones.sparse_convs.dense import prepared_inference
from ..models.compiled import CompiledStages, compiled_inference
from ..structures import Geometry, TrackMask
from ..utils.amp import autocast_type
from ..utils.checkpoint import unwrapped
from ..utils.config_check import declare_keys, options_of
from ..utils.errors import InputError, VosplugError
from .readers import Frame
from .session import can_prepare, check_amp, check_finite, prepare_model
from .track_recorder import TrackRecorder


class VISSession:
    """The instances of one video, found by a clip-level model; frames are given one by one and forgotten after a clip.

    Args:
        model: a :class:`~vosplug.models.segmentors.BaseVISSegmentor`; it is set to evaluation mode.
        size: (H, W) that frames are resized to fit in, keeping their ratio, as in training; None takes them as they
            are. Masks come at native size.
        clip_length: frames per clip; None takes that of the model.
        min_score: see :class:`TrackRecorder`.
        amp: ``bf16`` or ``fp16``: autocast type; ``auto``: what the device computes in; None computes in the type of
            the weights.
        channels_last: memory format of the weights.
        device: device to move the model to; None leaves it where it is.
        prepare, compile: as for :class:`~.session.VOSSession`.
        keep_masks: tracks come with all their masks at the end; without, memory is that of one clip.
        classes_per_track: classes that each track is given back with, each with its own score and all with the mask of
            the best: so an uncertain class costs less average precision (QueryInst ranks all pairs of query and class).

    Attributes:
        seconds: time spent so far in the model and in coding masks.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int] | None = None, clip_length: int | None = None,
                 min_score: float = 0.05, amp: str | None = None, channels_last: bool = False,
                 device: str | torch.device | None = None, prepare: bool = True, compile: str | None = None,
                 keep_masks: bool = True, classes_per_track: int = 1):
        if clip_length is not None and clip_length < 1:
            raise InputError(f"clip_length must be at least 1, got {clip_length}")
        if isinstance(classes_per_track, bool) or not isinstance(classes_per_track, int) or classes_per_track < 1:
            raise InputError(f"classes_per_track must be a whole number of at least 1, got {classes_per_track!r}")
        if size is not None and (len(tuple(size)) != 2 or min(size) < 16):
            raise InputError(f"size must be two numbers (H, W) of at least 16, got {size!r}")
        check_amp(amp)
        self.model = model = prepare_model(unwrapped(model), device, channels_last)
        self.stages = None if compile is None else CompiledStages(compile, model)
        self.prepared = prepare and compile is None and can_prepare(model)
        self.size, self.clip_length = size, clip_length or model.clip_length
        self.min_score, self.amp, self.keep_masks = min_score, amp, keep_masks
        self.classes_per_track = classes_per_track
        self.seconds = 0.0
        self._state: Any = model.init_state()
        self._images: list[Tensor] = []
        self._geometry: Geometry | None = None
        self._recorder: TrackRecorder | None = None

    def add(self, image: np.ndarray) -> list[list[TrackMask]]:
        """Take the next frame, (H, W, 3) uint8 RGB; a full clip is segmented at once.

        Returns:
            What each frame of a clip shows, if this frame completes one; else nothing.

        Raises:
            InputError: it is no such picture, or has another size than the frames before.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a frame must be a uint8 array (H, W, 3), got {found}")
        if self._recorder is None:
            self._recorder = TrackRecorder(image.shape[:2], min_score=self.min_score, keep_masks=self.keep_masks)
        if image.shape[:2] != self._recorder.size:
            raise InputError(f"a frame is {image.shape[0]}x{image.shape[1]} after frames of {self._recorder.size[0]}x"
                             f"{self._recorder.size[1]}: all frames of a video need one size")
        begin = time.perf_counter()
        self._images.append(self._resized(image))
        self.seconds += time.perf_counter() - begin
        return self.flush() if len(self._images) == self.clip_length else []

    def flush(self) -> list[list[TrackMask]]:
        """Segment the frames that wait for their clip to be complete; what each of them shows."""
        if not self._images:
            return []
        begin = time.perf_counter()
        shown = self._segment()
        self.seconds += time.perf_counter() - begin
        return shown

    def finish(self) -> list[dict]:
        """End the video: the tracks, as :meth:`TrackRecorder.tracks` gives them; none for a video without frames."""
        self.flush()
        return [] if self._recorder is None else self._recorder.tracks(self.classes_per_track)

    def _resized(self, image: np.ndarray) -> Tensor:
        """(1, 3, h, w) uint8 of the size that the network sees, as that is all that has to be kept of a frame."""
        preprocessor = self.model.data_preprocessor
        if self._geometry is None:
            self._geometry = preprocessor.geometry(image.shape[:2], fit=self.size)
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
        return preprocessor.resize(pixels, self._geometry)

    @torch.no_grad()
    def _segment(self) -> list[list[TrackMask]]:
        images, self._images = torch.cat(self._images).contiguous(memory_format=torch.channels_last), []
        device = next(self.model.parameters()).device
        clip, geometry = self.model.data_preprocessor.frames(images, self._geometry)
        dtype = autocast_type(self.amp, device)
        autocast = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
        with autocast, prepared_inference(self.prepared), compiled_inference(self.stages):
            tracks = self.model.step(self._state, clip[None], [geometry.size])
        check_finite((tracks.scores.flatten(1), tracks.boxes.flatten(1), tracks.masks.flatten(1)),
                     self._recorder.num_frames)
        factors = tuple(native / side for native, side in zip(geometry.native, geometry.size, strict=True))
        return self._recorder.add(tracks, factors)


declare_keys("test_session", options_of(VISSession))


def follow(session: VISSession, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[TrackMask]]]:
    """Give frames to a session, and every frame back with its masks, a clip later.

    Raises:
        VosplugError: a frame cannot be read or does not fit, after the frames before it have been given back.
    """
    waiting: deque[Frame] = deque()
    fault = None
    try:
        for frame in frames:
            found = session.add(frame.image)
            waiting.append(frame)
            for masks in found:
                yield waiting.popleft(), masks
    except VosplugError as error:
        fault = error
    for masks in session.flush():
        yield waiting.popleft(), masks
    if fault is not None:
        raise fault
