"""The clip loop that clip-level methods of video instance segmentation share."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...registry import LINKERS, LOSSES
from ...structures import VideoState
from ...utils.errors import ConfigError, InputError
from ..compiled import stage
from ..tasks import SupervisedTracklets
from ..tracklets.interaction import InteractionOutput
from ..tracklets.linking import ClipTracks
from .task_model import TaskModel


class BaseVISSegmentor(TaskModel):
    """Base of clip-level video instance segmentation: ``step()`` takes clip after clip of a video.

    Training unrolls what inference calls: :meth:`advance` reads the state, segments, and leaves in the state what the
    next clip starts from. A method implements ``encode``, ``initial_queries`` and ``interact``.

    Args:
        preprocessor: config of a preprocessor (kind ``preprocessor``).
        num_classes: K.
        clip_length: T, frames per clip in inference; the last clip of a video may be shorter.
        linker: config (kind ``linker``): how tracklets are continued from clip to clip.
        loss: config (kind ``loss``) of what matches tracklets with instances and measures how far they are from them;
            of a ``TrackletLoss`` if it names no type.
        correspondence: train pairs of clips as one video, see :class:`~..tasks.SupervisedTracklets`.
        init_cfg: as in mmengine.

    Attributes:
        class_names: names of the classes that the weights were trained with, where that is known.
    """

    family = "vis"
    class_names: tuple[str, ...] | None = None

    def __init__(self, preprocessor: dict, num_classes: int, clip_length: int = 36, linker: dict | None = None,
                 loss: dict | None = None, correspondence: bool = True, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, task=SupervisedTracklets(), init_cfg=init_cfg)
        if num_classes < 1 or clip_length < 1:
            raise ConfigError(f"num_classes and clip_length must be at least 1, got {num_classes} and {clip_length}")
        self.num_classes, self.clip_length, self.correspondence = num_classes, clip_length, correspondence
        self.linker = LINKERS.build(linker or dict(type="QueryLinking"))
        self.criterion = LOSSES.build({"type": "TrackletLoss", **(loss or {})})

    # Stages, implemented by the methods -------------------------------------------------------------------------

    @abstractmethod
    def encode(self, clip: Tensor) -> Any:
        """Features of a clip (B, T, 3, H, W)."""

    @abstractmethod
    def initial_queries(self, batch_size: int) -> Tensor:
        """What a video starts from: (B, N, C)."""

    @abstractmethod
    def interact(self, features: Any, queries: Tensor, sizes: Tensor, length: int) -> list[InteractionOutput]:
        """All interactions of a clip; in evaluation only the last one needs masks.

        Args:
            features: of :meth:`encode`.
            queries: (B, N, C) that the clip starts from.
            sizes: (B, 2), height and width of the unpadded frames.
            length: T.
        """

    # The clip loop ------------------------------------------------------------------------------------------------

    def init_state(self, batch_size: int = 1) -> VideoState:
        """Return the state of ``batch_size`` new videos."""
        return VideoState(batch_size=batch_size)

    def advance(self, state: VideoState, clip: Tensor, sizes: Tensor) -> tuple[list[InteractionOutput], ClipTracks]:
        """Segment one clip and update ``state``; see :meth:`step`."""
        check_clip(state, clip)
        queries = self.linker.start(state, self.initial_queries(len(clip)))
        outputs = stage(self.interact)(stage(self.encode)(clip), queries, sizes, clip.shape[1])
        tracks = read_tracks(outputs[-1])
        size = tuple(int(side) for side in sizes.amax(dim=0))
        tracks.ids = self.linker.finish(state, outputs[-1].queries, tracks, size)
        state.frame_index += clip.shape[1]
        return outputs, tracks

    def step(self, state: VideoState, clip: Tensor, sizes: Sequence[Sequence[int]] | None = None) -> ClipTracks:
        """Segment the next clip of each video and update ``state`` in place.

        Args:
            state: what is known of the videos.
            clip: (B, T, 3, H, W), normalised and padded by the preprocessor; T may differ from clip to clip.
            sizes: per video (H, W) before padding; by default nothing was padded.

        Raises:
            InputError: the clip does not fit the state, which is then as before.

        Returns:
            What the clip shows of every tracklet.
        """
        check_clip(state, clip)
        given = [clip.shape[-2:]] * len(clip) if sizes is None else sizes
        if len(given) != len(clip):
            raise InputError(f"sizes are given for {len(given)} videos, the clip has {len(clip)}")
        return self.advance(state, clip, torch.tensor([tuple(size) for size in given], device=clip.device))[1]

    # mmengine's interface -----------------------------------------------------------------------------------------

    def forward(self, inputs: Any, data_samples: list | None = None, mode: str = "tensor") -> Any:
        """Called by mmengine: ``loss`` for training; ``tensor`` segments clips (B, T, 3, H, W) as new videos."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "tensor":
            return self.step(self.init_state(len(inputs)), inputs)
        raise InputError(f"mode {mode!r} is not known; videos are segmented by step(), see VISSession")


def check_clip(state: VideoState, clip: Tensor) -> None:
    """Raise :class:`InputError` unless ``clip`` is (B, T, 3, H, W) of the size of the others."""
    if clip.ndim != 5 or clip.shape[0] != state.batch_size or clip.shape[2] != 3 or not clip.shape[1]:
        raise InputError(f"a clip must be (B={state.batch_size}, T, 3, H, W), got {tuple(clip.shape)}")
    size = tuple(clip.shape[-2:])
    if state.frame_size not in (None, size):
        raise InputError(f"the clip at frame {state.frame_index} is {size[0]}x{size[1]} after clips of "
                         f"{state.frame_size[0]}x{state.frame_size[1]}: resize it, or start a new video")
    state.frame_size = size


def read_tracks(output: InteractionOutput) -> ClipTracks:
    """Scores, boxes and the masks of the best class of every tracklet; detached, in float32."""
    scores = output.logits.detach().float().sigmoid()
    labels = scores.mean(dim=1).argmax(dim=-1)  # (B, N)
    masks = output.masks.detach()
    index = labels[:, None, :, None, None, None].expand(-1, masks.shape[1], -1, 1, *masks.shape[-2:])
    return ClipTracks(scores=scores, boxes=output.boxes.detach().float(), labels=labels,
                      masks=masks.gather(3, index)[:, :, :, 0].float().sigmoid(), ids=[])
