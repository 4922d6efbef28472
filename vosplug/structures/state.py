"""What a segmentor keeps of a video between frames, what it is told, and what it answers."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..utils.errors import InputError
from .object_ids import ObjectIds


@dataclass
class Prompt:
    """Masks that start objects at one frame.

    Attributes:
        ids: K object ids.
        masks: (B, K, H, W), 1 inside the object and 0 outside, on the padded frame.
        valid: (B, K) bool on the CPU: the objects that start here, per video of the batch; None means all.
    """

    ids: tuple[int, ...]
    masks: Tensor
    valid: Tensor | None = None

    def __post_init__(self):
        if self.masks.ndim != 4 or self.masks.shape[1] != len(self.ids):
            raise InputError(f"prompt masks must be (B, {len(self.ids)}, H, W) for ids {self.ids}, "
                             f"got {tuple(self.masks.shape)}")
        if self.valid is None:
            self.valid = torch.ones(self.masks.shape[:2], dtype=torch.bool)
        if tuple(self.valid.shape) != tuple(self.masks.shape[:2]):
            raise InputError(f"prompt.valid must be {tuple(self.masks.shape[:2])}, got {tuple(self.valid.shape)}")
        self.valid = self.valid.cpu()


@dataclass
class StepOutput:
    """The segmentation of one frame.

    Attributes:
        logits: (B, O + 1, H, W), background first; -inf for objects that are not active in a video of the batch.
        ids: id of each of the O object channels.
        notes: what was done on the frame, see :mod:`.notes`.
    """

    logits: Tensor
    ids: tuple[int, ...]
    notes: list[Any] = field(default_factory=list)

    @property
    def prob(self) -> Tensor:
        """(B, O + 1, H, W) probabilities over background and objects."""
        return self.logits.softmax(dim=1)


@dataclass
class Pairs:
    """The (video of the batch, object channel) pairs that exist: only these go through object-wise networks.

    Attributes:
        batch, channel: (P,) int64 on the device of the model.
        shape: (B, O).
        full: every object exists in every video, so that pairs are a plain reshape.
    """

    batch: Tensor
    channel: Tensor
    shape: tuple[int, int]
    full: bool

    @classmethod
    def of(cls, active: Tensor, device: torch.device) -> "Pairs":
        """Pairs of a (B, O) bool tensor on the CPU."""
        batch, channel = active.nonzero(as_tuple=True)
        return cls(batch.to(device), channel.to(device), tuple(active.shape), bool(active.all()))

    def __len__(self) -> int:
        return len(self.batch)

    def gather(self, x: Tensor) -> Tensor:
        """(B, O, ...) -> (P, ...)."""
        return x.flatten(0, 1) if self.full else x[self.batch, self.channel]

    def expand(self, x: Tensor) -> Tensor:
        """(B, ...) -> (P, ...): what belongs to a frame, repeated for its objects."""
        if self.shape[1] == 1 and self.full:
            return x
        if self.shape[0] == 1:
            return x.expand(len(self), *x.shape[1:])
        return x.index_select(0, self.batch)

    def scatter(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(P, ...) -> (B, O, ...), ``fill`` where no pair exists."""
        if self.full:
            return x.unflatten(0, self.shape)
        out = x.new_full((*self.shape, *x.shape[1:]), fill)
        return out.index_put((self.batch, self.channel), x)


@dataclass
class VideoState:
    """Everything that a segmentor remembers of a video (or of a batch of B training clips).

    A model holds none of this, so videos can be interleaved through one model, and a state can be dropped or saved.

    Attributes:
        batch_size: B; 1 in inference.
        ids: ids of the O objects, one channel each.
        active: (B, O) bool on the CPU: which objects have been started in which video.
        frame_index: number of frames seen so far, so the index of the next frame.
        frame_size: (H, W) of the padded frames, None before the first one.
        memory: what the memory of the method keeps (its own type), None if the method has none.
        masks: (B, O, H, W) probabilities of the previous frame, None before the first one.
        training: the video is a batch of training clips.
        layers: what sparse layers keep of the frames before, by name; each can ``drop`` rows.
        cache: anything else by name: scores of gates, queries of trackers.
        ended: the last frame was announced as such; nothing was memorised, so no frame may follow.
    """

    batch_size: int = 1
    ids: ObjectIds = field(default_factory=ObjectIds)
    active: Tensor = field(default_factory=lambda: torch.zeros(1, 0, dtype=torch.bool))
    frame_index: int = 0
    frame_size: tuple[int, int] | None = None
    memory: Any = None
    masks: Tensor | None = None
    training: bool = False
    layers: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    ended: bool = False

    def __post_init__(self):
        if self.active.shape != (self.batch_size, len(self.ids)):
            self.active = torch.zeros(self.batch_size, len(self.ids), dtype=torch.bool)

    @property
    def num_objects(self) -> int:
        """O, the number of channels."""
        return len(self.ids)

    def check_frame(self, frame: Tensor) -> None:
        """Raise :class:`InputError` unless a frame may follow and is (B, 3, H, W) of the size of the others."""
        if self.ended:
            raise InputError(f"frame {self.frame_index} comes after a frame that was announced as the last one: "
                             "pass last=True for the last frame only, or start a new video")
        if frame.ndim != 4 or tuple(frame.shape[:2]) != (self.batch_size, 3):
            raise InputError(f"a frame must be (B={self.batch_size}, 3, H, W), got {tuple(frame.shape)}")
        size = tuple(frame.shape[-2:])
        if self.frame_size not in (None, size):
            raise InputError(f"frame {self.frame_index} is {size[0]}x{size[1]} after frames of {self.frame_size[0]}x"
                             f"{self.frame_size[1]}: resize it, or start a new video")
        self.frame_size = size

    def start_objects(self, prompt: Prompt) -> None:
        """Make the objects of ``prompt`` active, adding channels for new ids.

        Raises:
            InputError: an id is already active in a video for which the prompt starts it, or was removed before.
        """
        ids = self.ids.add(prompt.ids)
        active = torch.zeros(self.batch_size, len(ids), dtype=torch.bool)
        active[:, : self.num_objects] = self.active
        for column, value in enumerate(prompt.ids):
            channel = ids.channel(value)
            if (active[:, channel] & prompt.valid[:, column]).any():
                raise InputError(f"object id {value} is already tracked: a new object needs a new id "
                                 "(remove the old one first if it has to be replaced)")
            active[:, channel] |= prompt.valid[:, column]
        if self.masks is not None and len(ids) > self.num_objects:
            new = self.masks.new_zeros(self.batch_size, len(ids) - self.num_objects, *self.masks.shape[-2:])
            self.masks = torch.cat([self.masks, new], dim=1)
        self.ids, self.active = ids, active

    def drop_objects(self, values: list[int]) -> None:
        """Forget objects in every video of the batch; their ids cannot be used again."""
        gone = [self.ids.channel(v) for v in values]
        keep = torch.tensor([c for c in range(self.num_objects) if c not in gone], dtype=torch.long)
        self.ids = self.ids.remove(values)
        self.active = self.active[:, keep]
        if self.masks is not None:
            self.masks = self.masks[:, keep.to(self.masks.device)]
        if self.memory is not None:
            self.memory.keep_objects(keep)
        for kept in self.layers.values():
            kept.drop({(b, value) for b in range(self.batch_size) for value in values})
