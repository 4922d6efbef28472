"""A training clip of video instance segmentation as the losses see it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils.errors import DataError


@dataclass
class VISClipSample:
    """Labels of one clip of T frames with N tracks, checked when it is made.

    Attributes:
        masks: (N, T, H, W) bool.
        boxes: (N, T, 4) float32, x1 y1 x2 y2 in pixels of the clip (x2, y2 just outside the mask); 0 where absent.
        present: (N, T) bool: the object has at least one pixel in the frame.
        categories: (N,) int64, 0 .. C-1 in the order of the data set's categories.
        ids: N ids of the annotations. The two clips of a pair have the same tracks in the same order.
        frame_indices: T frames of the video; some occur twice where the video is shorter than the clip.
        video: name of the video.

    Raises:
        DataError: the fields do not fit each other.
    """

    masks: Tensor
    boxes: Tensor
    present: Tensor
    categories: Tensor
    ids: tuple[int, ...]
    frame_indices: tuple[int, ...]
    video: str = ""

    def __post_init__(self):
        where = f"clip {self.video}"
        if self.masks.ndim != 4 or self.masks.dtype != torch.bool:
            raise DataError(f"{where}: masks must be a bool tensor (N, T, H, W), got {self.masks.dtype} "
                            f"{tuple(self.masks.shape)}")
        tracks, length = self.masks.shape[:2]
        for name, tensor, shape, kind in (("boxes", self.boxes, (tracks, length, 4), torch.float32),
                                          ("present", self.present, (tracks, length), torch.bool),
                                          ("categories", self.categories, (tracks,), torch.int64)):
            if tuple(tensor.shape) != shape or tensor.dtype != kind:
                raise DataError(f"{where}: {name} must be {kind} {shape}, got {tensor.dtype} {tuple(tensor.shape)}")
        self.ids, self.frame_indices = tuple(map(int, self.ids)), tuple(map(int, self.frame_indices))
        if len(self.ids) != tracks or len(set(self.ids)) != tracks:
            raise DataError(f"{where}: {tracks} tracks need as many different ids, got {self.ids}")
        if len(self.frame_indices) != length:
            raise DataError(f"{where}: {len(self.frame_indices)} frame indices for {length} frames")
        wrong = torch.nonzero(self.masks.flatten(2).any(dim=2) != self.present)
        if len(wrong):
            n, t = wrong[0].tolist()
            raise DataError(f"{where}: present says {bool(self.present[n, t])} for track {self.ids[n]} in frame {t}, "
                            "but the mask says otherwise")

    @property
    def num_tracks(self) -> int:
        """Number of tracks N."""
        return self.masks.shape[0]

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return self.masks.shape[1]

    def __repr__(self) -> str:
        return (f"VISClipSample(video={self.video!r}, masks={tuple(self.masks.shape)}, ids={self.ids}, "
                f"categories={self.categories.tolist()}, frames={self.frame_indices})")
