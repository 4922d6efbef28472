"""A tiny segmentor and clips for tests of training; loadable as a plugin (``--plugin``) by commands."""

import time

import torch
from torch import Tensor, nn

from vosplug.datasets import ClipRequest
from vosplug.models.losses import PixelLoss
from vosplug.models.preprocessors import VOSPreprocessor
from vosplug.models.segmentors.base import VOSSegmentor
from vosplug.registry import DATASETS, LOSSES, PREPROCESSORS, SEGMENTORS
from vosplug.structures import ClipSample, Rows, VideoState
from vosplug.utils.errors import DataError

assert VOSPreprocessor.__name__ in PREPROCESSORS.members()


@LOSSES.register_module()
class TinyCE(PixelLoss):
    """Cross-entropy that can turn into NaN at one iteration."""

    def __init__(self, nan_at: int | None = None):
        super().__init__()
        self.name, self.weight = "ce", 1.0
        self.nan_at, self.iteration, self.max_iters = nan_at, None, None

    def set_progress(self, iteration: int, max_iters: int) -> None:
        self.iteration, self.max_iters = iteration, max_iters

    def pixels(self, logits: Tensor, labels: Tensor) -> Tensor:
        value = nn.functional.cross_entropy(logits.float(), labels, ignore_index=255)
        return value * float("nan") if self.iteration == self.nan_at and self.nan_at is not None else value


@SEGMENTORS.register_module()
class TinySegmentor(VOSSegmentor):
    """One object-wise convolution net on the frame and the previous mask, with batch norm and dropout."""

    def __init__(self, preprocessor: dict, losses: list[dict] | None = None, width: int = 8, dropout: float = 0.1,
                 norm: bool = True):
        super().__init__(preprocessor=preprocessor, losses=losses)
        self.net = nn.Sequential(nn.Conv2d(4, width, 3, padding=1),
                                 nn.BatchNorm2d(width) if norm else nn.Identity(), nn.ReLU(),
                                 nn.Dropout(dropout), nn.Conv2d(width, 1, 3, padding=1))

    def decode_coarse(self, state: VideoState, features: Tensor, rows: Rows) -> Tensor:
        masks = rows.gather(state.masks)[:, None]
        return self.net(torch.cat([rows.expand(features), masks.to(features)], dim=1))


@DATASETS.register_module()
class TinyClips:
    """Bright squares that move over noise.

    Args:
        count: number of clips.
        fail_at: index of a clip that cannot be read.
        log: file to which the index and the length of every clip that is made are added.
        delay: seconds that a clip takes.
    """

    def __init__(self, count: int = 10, size: int = 16, fail_at: int | None = None, log: str | None = None,
                 delay: float = 0.0):
        self.count, self.size, self.fail_at, self.log, self.delay = count, size, fail_at, log, delay

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, request: ClipRequest) -> dict:
        if request.index == self.fail_at:
            raise DataError(f"clip {request.index}: picture is damaged")
        if self.log:
            with open(self.log, "a") as stream:
                stream.write(f"{request.index} {request.length}\n")
        time.sleep(self.delay)
        rng = request.rng()
        images = rng.integers(0, 120, (request.length, 3, self.size, self.size), dtype="uint8")
        labels = torch.zeros(request.length, self.size, self.size, dtype=torch.uint8)
        x, y = rng.integers(0, self.size // 2, 2)
        for t in range(request.length):
            images[t, :, y : y + 6, x + t : x + t + 6] += 120
            labels[t, y : y + 6, x + t : x + t + 6] = 1
        sample = ClipSample(labels=labels, first_frames=(0,), ids=(1,), video=f"clip{request.index}")
        return dict(inputs=torch.from_numpy(images), data_samples=sample)
