"""A training clip as the losses see it."""

from dataclasses import dataclass

import torch

from ..utils.errors import DataError
from ..utils.masks import VOID


@dataclass
class ClipSample:
    """Labels of one training clip, checked when it is made.

    Attributes:
        labels: (T, H, W) uint8; 0 is background, ``1..O`` are the slots of the objects, 255 is void (losses ignore it).
        first_frames: per slot the frame (0..T-1) whose mask starts ("prompts") the object. An object that enters later
            has a value above 0; it is background in the frames before it.
        ids: per slot the object's id in the data set.
        video: name of the video or image that the clip was made from.
        frame_names: T names of the frames, for messages and pictures.

    Raises:
        DataError: the fields do not fit each other.
    """

    labels: torch.Tensor
    first_frames: tuple[int, ...]
    ids: tuple[int, ...]
    video: str = ""
    frame_names: tuple[str, ...] = ()

    def __post_init__(self):
        labels = self.labels
        if not isinstance(labels, torch.Tensor):
            raise DataError(f"clip {self.video}: labels must be a uint8 tensor (T, H, W), got {type(labels).__name__}")
        if labels.dtype != torch.uint8 or labels.ndim != 3:
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise DataError(f"clip {self.video}: labels must be a uint8 tensor (T, H, W), got {found}")
        self.first_frames = tuple(int(t) for t in self.first_frames)
        self.ids = tuple(int(i) for i in self.ids)
        self.frame_names = tuple(self.frame_names)
        self._check_slots()
        self._check_values()

    def _check_slots(self):
        length = self.labels.shape[0]
        if len(self.ids) != len(self.first_frames):
            raise DataError(f"clip {self.video}: {len(self.ids)} ids but {len(self.first_frames)} first frames")
        if len(set(self.ids)) != len(self.ids):
            raise DataError(f"clip {self.video}: an id has two slots: {self.ids}")
        if any(not 0 <= t < length for t in self.first_frames):
            raise DataError(f"clip {self.video}: first frames {self.first_frames} must lie in 0..{length - 1}")
        if self.frame_names and len(self.frame_names) != length:
            raise DataError(f"clip {self.video}: {len(self.frame_names)} frame names for {length} frames")

    def _check_values(self):
        for t, frame in enumerate(self.labels):
            counts = torch.bincount(frame.flatten(), minlength=256)
            present = torch.nonzero(counts).flatten().tolist()
            for value in present:
                if value in (0, VOID):
                    continue
                if value > self.num_objects:
                    raise DataError(f"clip {self.video}: frame {t} has the label {value}, "
                                    f"but the clip has {self.num_objects} objects")
                if t < self.first_frames[value - 1]:
                    raise DataError(f"clip {self.video}: slot {value} is in frame {t}, before its first frame "
                                    f"{self.first_frames[value - 1]}")
            missing = [o + 1 for o, first in enumerate(self.first_frames) if first == t and not counts[o + 1]]
            if missing:
                raise DataError(f"clip {self.video}: slot {missing[0]} starts at frame {t} but has no pixel there")

    @property
    def num_objects(self) -> int:
        """Number of slots O."""
        return len(self.ids)

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return self.labels.shape[0]

    def prompted_at(self, frame: int) -> tuple[int, ...]:
        """Slots (from 1) that start at ``frame``."""
        return tuple(o + 1 for o, first in enumerate(self.first_frames) if first == frame)

    def __repr__(self) -> str:
        return (f"ClipSample(video={self.video!r}, labels={tuple(self.labels.shape)}, ids={self.ids}, "
                f"first_frames={self.first_frames})")
