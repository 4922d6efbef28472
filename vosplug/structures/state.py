"""What a segmentor keeps of a video between frames, what it is told, and what it answers."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.errors import InputError
from .geometry import Geometry
from .notes import Tap
from .object_ids import ObjectIds
from .row_store import RowStore


@dataclass
class Prompt:
    """Masks that start objects at one frame, or correct them.

    Attributes:
        ids: K object ids.
        masks: (B, K, H, W), 1 inside the object and 0 outside, at the size of the frames that the network sees.
        valid: (B, K) bool on the CPU: the objects that start here, per video of the batch; None means all.
        native: the same masks at the size of the video, for methods that work with masks of that size.
        correct: objects that are tracked already may be among them: what is given replaces what was predicted.
    """

    ids: tuple[int, ...]
    masks: Tensor
    valid: Tensor | None = None
    native: Tensor | None = None
    correct: bool = False

    def __post_init__(self):
        if self.masks.ndim != 4 or self.masks.shape[1] != len(self.ids):
            raise InputError(f"prompt masks must be (B, {len(self.ids)}, H, W) for ids {self.ids}, "
                             f"got {tuple(self.masks.shape)}")
        if self.valid is None:
            self.valid = torch.ones(self.masks.shape[:2], dtype=torch.bool)
        if tuple(self.valid.shape) != tuple(self.masks.shape[:2]):
            raise InputError(f"prompt.valid must be {tuple(self.masks.shape[:2])}, got {tuple(self.valid.shape)}")
        self.valid = self.valid.cpu()

    def at(self, size: tuple[int, int]) -> Tensor:
        """The masks (B, K, h, w) at ``size``: as they were given, or else by nearest neighbour."""
        for masks in (self.masks, self.native):
            if masks is not None and tuple(masks.shape[-2:]) == tuple(size):
                return masks
        return F.interpolate(self.masks if self.native is None else self.native, size=size, mode="nearest")


@dataclass
class StepOutput:
    """The segmentation of one frame.

    Attributes:
        logits: (B, O + 1, h, w) of one distribution over background, which comes first, and objects, at the resolution
            of the method; -inf for objects that are not active in a video of the batch.
        ids: id of each of the O object channels.
        notes: what was done, see :mod:`~vosplug.structures.notes`.
        known: (B, O) bool on the CPU: objects that were known before the frame, so that something was predicted; none
            of them on a frame whose masks were taken from labels.
        kind: ``"first"`` (starts objects), ``"memory"`` (kept by the memory), ``"query"`` (any other).
        taps: by name, what was asked for of the inside of the network, see :meth:`features`.
    """

    logits: Tensor
    ids: tuple[int, ...]
    notes: list[Any] = field(default_factory=list)
    known: Tensor | None = None
    kind: str = "query"
    taps: dict[str, Tap] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, Tensor]:
        """By name: (B, L, C) of cells, (B, L, N) weights of attention, (B, C, h, w) maps; empty unless asked for."""
        return {name: tap.tensor for name, tap in self.taps.items()}

    @property
    def prob(self) -> Tensor:
        """(B, O + 1, h, w) probabilities over background and objects."""
        return self.logits.softmax(dim=1)

    def noted(self, kind: type) -> list:
        """The notes of one kind."""
        return [note for note in self.notes if isinstance(note, kind)]


@dataclass
class VideoState:
    """Everything that a segmentor remembers of a video (or of a batch of B training clips).

    A model holds none of this, so videos can be interleaved through one model, and a state can be dropped or saved.

    Attributes:
        batch_size: B; 1 in inference.
        ids: ids of the O objects, one channel each.
        active: (B, O) bool on the CPU: which objects have been started in which video.
        frame_index: number of frames seen so far, so the index of the next frame.
        frame_size: (H, W) of the frames that the network sees, None before the first one.
        geometry: how frames of the video are brought to that size and back; None where nothing is changed.
        training: a batch of training clips is unrolled.
        memory: what the memory of the method keeps (its own type), None if the method has none.
        masks: (B, O, H, W) masks of the previous frame as they were fed back, None before the first one.
        objects: what the method remembers of each row of its object-wise networks.
        layers: what layers keep of the frames before, by their names; each can ``drop`` rows.
        cache: anything else by name.
        ended: the last frame was announced as such; nothing was memorised, so no frame may follow.
    """

    batch_size: int = 1
    ids: ObjectIds = field(default_factory=ObjectIds)
    active: Tensor = field(default_factory=lambda: torch.zeros(1, 0, dtype=torch.bool))
    frame_index: int = 0
    frame_size: tuple[int, int] | None = None
    geometry: Geometry | None = None
    training: bool = False
    memory: Any = None
    masks: Tensor | None = None
    objects: RowStore = field(default_factory=RowStore)
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

    @property
    def native_size(self) -> tuple[int, int]:
        """(H, W) of the video."""
        return self.frame_size if self.geometry is None else tuple(self.geometry.native)

    def check_frame(self, frame: Tensor, geometry: Geometry | None = None) -> None:
        """Raise :class:`InputError` unless a frame may follow and is (B, 3, H, W) of the size of the others.

        ``geometry`` stays that of the first frame where it is not given again.
        """
        if self.ended:
            raise InputError(f"frame {self.frame_index} comes after a frame that was announced as the last one: "
                             "pass last=True for the last frame only, or start a new video")
        if frame.ndim != 4 or tuple(frame.shape[:2]) != (self.batch_size, 3):
            raise InputError(f"a frame must be (B={self.batch_size}, 3, H, W), got {tuple(frame.shape)}")
        size = tuple(frame.shape[-2:])
        if self.frame_size not in (None, size):
            raise InputError(f"frame {self.frame_index} is {size[0]}x{size[1]} after frames of {self.frame_size[0]}x"
                             f"{self.frame_size[1]}: resize it, or start a new video")
        if geometry is not None and self.frame_size is not None and geometry != self.geometry:
            raise InputError(f"frame {self.frame_index} has the geometry {geometry} after frames of {self.geometry}: "
                             "start a new video")
        self.frame_size, self.geometry = size, geometry or self.geometry

    def check_prompt(self, prompt: Prompt | None) -> None:
        """Raise :class:`InputError` if an id of ``prompt`` was removed, or is active and not to be corrected."""
        if prompt is None:
            return
        if prompt.masks.shape[0] != self.batch_size:
            raise InputError(f"prompt masks must be (B={self.batch_size}, K, H, W), got {tuple(prompt.masks.shape)}")
        self.ids.add(prompt.ids)
        tracked = [] if prompt.correct else sorted(value for _, value in self.tracked_keys(prompt))
        if tracked:
            raise InputError(f"object id {tracked[0]} is already tracked: a new object needs a new id "
                             "(correct=True replaces the mask of the old one)")

    def tracked_keys(self, prompt: Prompt) -> set[tuple[int, int]]:
        """(video, id) of the objects of ``prompt`` that are active already."""
        return {(b, value) for b in range(self.batch_size) for column, value in enumerate(prompt.ids)
                if value in self.ids and self.active[b, self.ids.channel(value)] and prompt.valid[b, column]}

    def start_objects(self, prompt: Prompt) -> None:
        """Make the objects of ``prompt`` active, adding channels for new ids.

        Raises:
            InputError: see :meth:`check_prompt`.
        """
        self.check_prompt(prompt)
        ids = self.ids.add(prompt.ids)
        active = torch.zeros(self.batch_size, len(ids), dtype=torch.bool)
        active[:, : self.num_objects] = self.active
        for column, value in enumerate(prompt.ids):
            active[:, ids.channel(value)] |= prompt.valid[:, column]
        if self.masks is not None and len(ids) > self.num_objects:
            new = self.masks.new_zeros(self.batch_size, len(ids) - self.num_objects, *self.masks.shape[-2:])
            self.masks = torch.cat([self.masks, new], dim=1)
        self.ids, self.active = ids, active

    def drop_objects(self, values: list[int], columns: Tensor | None = None) -> None:
        """Forget objects in every video of the batch; their ids cannot be used again.

        Args:
            values: ids.
            columns: columns of the memory that stay, where these are not the channels of the objects.
        """
        gone = [self.ids.channel(v) for v in values]
        keep = torch.tensor([c for c in range(self.num_objects) if c not in gone], dtype=torch.long)
        self.ids = self.ids.remove(values)
        self.active = self.active[:, keep]
        if self.masks is not None:
            self.masks = self.masks[:, keep.to(self.masks.device)]
        if self.memory is not None:
            self.memory.keep_objects(keep if columns is None else columns)
        keys = {(b, value) for b in range(self.batch_size) for value in values}
        self.objects.drop(keys)
        for kept in self.layers.values():
            kept.drop(keys)
