"""The frame loop that all semi-supervised segmentors share."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LOSSES, MEMORIES
from ...structures import Geometry, Level, Prompt, Rows, StepOutput, VideoState
from ...structures.rows import Key
from ...utils.errors import InputError
from ..compiled import stage
from ..frame_run import FramePolicy, FrameRun
from ..layers.aggregate import clamped_logit, full_precision, soft_aggregate, write_prompt
from ..memories import MemoryState
from ..tasks import SupervisedClips
from .task_model import TaskModel

COARSE_TAP, LOGITS_TAP = "coarse", "logits"  # features that every method publishes if asked


@dataclass(frozen=True)
class Cut:
    """Where a reuse gate cuts a segmentor in two.

    Attributes:
        early: channels and stride of what :meth:`VOSSegmentor.early` gives.
        coarse: channels and stride of what :meth:`VOSSegmentor.decode_coarse` gives, without the score.
        scored: its last channel is a score of the row, 1 on the object and 0 elsewhere. Where there is none, the mask
            of the row stands for it.
    """

    early: Level
    coarse: Level
    scored: bool = False


class VOSSegmentor(TaskModel):
    """Base of semi-supervised video object segmentation: a frame loop of stages over rows.

    :meth:`step` is the only frame loop: training, evaluation, demos, benchmarks and statistics call it. A method
    implements the stages; a wrapper (a reuse gate) has an inner segmentor and calls its stages.

    Args:
        preprocessor: config of a preprocessor (kind ``preprocessor``).
        memory: config of a memory (kind ``memory``), or None for a method without one.
        losses: configs of losses (kind ``loss``); each reads the record of a clip, and their sum is minimised.
        init_cfg: as in mmengine.

    Attributes:
        frame_policies: what decides about frames before they are processed, see :class:`~..frame_run.FramePolicy`.
        observers: called with every :class:`StepOutput`, for statistics and plots.
        cut: where a reuse gate may cut the method in two; None if it cannot be cut.
        prompts_renew: a frame that starts objects is memorised for all rows, so that a gate has no choice there.
    """

    cut: Cut | None = None
    prompts_renew = False

    def __init__(self, preprocessor: dict, memory: dict | None = None, losses: list[dict] | None = None,
                 init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, task=SupervisedClips(), init_cfg=init_cfg)
        self.memory = None if memory is None else MEMORIES.build(memory)
        self.losses = nn.ModuleList(LOSSES.build(loss) for loss in losses or [])
        self.frame_policies: list[FramePolicy] = []
        self.observers: list[Callable[[StepOutput], None]] = []

    # Stages, implemented by the methods -------------------------------------------------------------------------

    def rows(self, state: VideoState) -> Rows:
        """Whose rows object-wise networks have: by default those of the objects that are active, one each."""
        return Rows.of_table(state.active, state.ids.ids, self.device)

    def encode_shallow(self, frame: Tensor) -> Any:
        """Features of a frame (B, 3, H, W) that are cheap enough to look at before anything is decided.

        What they are is the method's own affair; one that has nothing cheap leaves the frame.
        """
        return frame

    def encode_deep(self, features: Any) -> Any:
        """All features of the frame, from the shallow ones; asking twice costs nothing."""
        return features

    @abstractmethod
    def decode_coarse(self, state: VideoState, features: Any, rows: Rows) -> Tensor:
        """(R, C, h, w): all that needs the memory or deep features; everything, where a method cannot be cut."""

    def decode_fine(self, state: VideoState, features: Any, coarse: Tensor, rows: Rows) -> Tensor:
        """(R, K, h', w') logits of each row, from shallow features and what :meth:`decode_coarse` gave."""
        return coarse

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """One distribution over background and objects, (B, O + 1, h', w') logits, from the rows' own (R, K, h', w').

        By default K is 1 and objects are independent: soft aggregation. There may be no row.
        """
        return soft_aggregate(rows.scatter(full_precision(logits[:, 0]).sigmoid()), state.active)

    def early(self, features: Any) -> Tensor:
        """(B, C, h, w) map of the shallow features that a reuse gate looks at; only of methods with a ``cut``."""
        raise NotImplementedError(f"{type(self).__name__} has no early features")

    def row_masks(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """(B, O, H, W) masks of objects -> (R, 1, H, W) masks of rows."""
        return rows.gather(masks)[:, None]

    def certain_rows(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """Logits (R, K, h', w'), as :meth:`decode_fine` gives them, that say what masks (B, O, H, W) of objects say."""
        return clamped_logit(self.row_masks(state, masks, rows))

    def shared_keys(self, state: VideoState, ids: Collection[int]) -> set[Key]:
        """Keys of the rows that the objects ``ids`` share with others; none where each row is one object's own."""
        return set()

    def give(self, state: VideoState, logits: Tensor, prompt: Prompt, run: FrameRun) -> Tensor:
        """Make given masks certain in composed ``logits`` (B, O_before + 1, h', w'): (B, O + 1, h', w')."""
        return write_prompt(logits, prompt, state.ids.ids, state.active)

    def feedback(self, state: VideoState, logits: Tensor) -> Tensor:
        """Masks (B, O, H, W) to memorise and to keep as the previous ones: by default the probabilities."""
        return logits.softmax(dim=1)[:, 1:]

    def memorize(self, state: VideoState, features: Any, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Write what the method keeps of this frame; ``rows`` are those that were computed anew or that started."""

    # The frame loop -----------------------------------------------------------------------------------------------

    def init_state(self, batch_size: int = 1, training: bool = False) -> VideoState:
        """Return the state of ``batch_size`` new videos, or of a batch of training clips."""
        return VideoState(batch_size=batch_size, training=training, memory=self.new_memory(training))

    def new_memory(self, training: bool) -> MemoryState | None:
        """An empty memory; a method whose memory compares tokens says how."""
        return None if self.memory is None else self.memory.new(training=training)

    def segment(self, state: VideoState, features: Any, run: FrameRun) -> tuple[Tensor, Rows]:
        """The stages in order: logits (B, O + 1, h, w) of the known objects, and the rows that were computed anew."""
        rows = self.rows(state)
        if not len(rows):
            return self.background(state), rows
        features = stage(self.encode_deep)(features)
        with run.whose(rows):
            coarse = self.decode_coarse(state, features, rows)
            run.tap(COARSE_TAP, coarse)
            logits = stage(self.decode_fine)(state, features, coarse, rows)
        composed = self.compose(state, logits, rows)
        if run.asks(LOGITS_TAP):
            run.tap(LOGITS_TAP, self.compose_as_decoded(state, logits, composed, rows))
        return composed, rows

    def compose_as_decoded(self, state: VideoState, logits: Tensor, composed: Tensor, rows: Rows) -> Tensor:
        """Like :meth:`compose`, at the resolution of the decoder: what is published as ``logits``.

        Args:
            logits: (R, K, h', w') of the rows.
            composed: (B, O + 1, h, w), what :meth:`compose` made of them.
        """
        return composed

    def background(self, state: VideoState) -> Tensor:
        """Logits of a frame on which nothing is known."""
        nothing = Rows.of_table(torch.zeros_like(state.active), state.ids.ids, self.device)
        empty = torch.zeros(0, 1, *state.frame_size, device=self.device, dtype=next(self.parameters()).dtype)
        return self.compose(state, empty, nothing)

    def step(self, state: VideoState, frame: Tensor, prompt: Prompt | None = None, *, geometry: Geometry | None = None,
             last: bool = False, labels: Tensor | None = None, fed_back: Tensor | None = None,
             features: Collection[str] | None = ()) -> StepOutput:
        """Segment one frame and update ``state`` in place.

        Args:
            state: what is known of the video.
            frame: (B, 3, H, W), as the preprocessor gives it.
            prompt: masks of objects that start at this frame; they win over what is predicted for other objects. With
                ``prompt.correct`` also of objects that are tracked: the method begins with them as with new ones, and
                keeps what it has of frames before.
            geometry: of the preprocessor: how to come back to the size of the video; None if frames have it, or once
                it has been given.
            last: no frame follows, so nothing is memorised.
            labels: (B, H, W) int64 true labels by channel, 255 void, for methods that are taught with them; only in
                training.
            fed_back: (B, H, W) int64 labels by channel that are memorised, and kept as the previous masks, in place of
                what :meth:`feedback` gives; those of a prompt are as they were given.
            features: names of what ``StepOutput.features`` shall hold: ``coarse``, ``logits`` and what parts of the
                network publish; None for all there is.

        Raises:
            InputError: the frame or the prompt does not fit the state, which is then as before.

        Returns:
            Logits over background and objects.
        """
        state.check_frame(frame, geometry)
        state.check_prompt(prompt)
        known = state.active
        kind = self.kind_of(state, prompt, last)
        with self.running(state, prompted=prompt is not None, last=last, labels=labels, features=features) as run:
            run.prompt = prompt
            encoded = stage(self.encode_shallow)(frame)
            logits, fresh = self.segment(state, encoded, run)
            taps = run.tapped()
            if prompt is not None:
                before = set(self.rows(state).keys) - state.tracked_keys(prompt)
                state.start_objects(prompt)
                logits = self.give(state, logits, prompt, run)
                rows = self.rows(state)
                run.started = rows.having(set(rows.keys) - before)
                fresh = rows.having({*fresh.keys, *run.started.keys})
            masks = self.feedback(state, logits)
            if fed_back is not None and prompt is None:
                masks = masks_of(fed_back, masks)
            if len(fresh) or prompt is not None:  # an object may start in a row that was not computed anew
                with run.whose(fresh):
                    self.memorize(state, stage(self.encode_deep)(encoded), masks, fresh, run)
        state.masks = masks
        state.frame_index += 1
        state.ended = last
        grown = torch.zeros_like(state.active)
        grown[:, : known.shape[1]] = known & run.predicted
        output = StepOutput(logits=logits, ids=state.ids.ids, notes=run.notes, known=grown, kind=kind, taps=taps)
        for observer in self.observers:
            observer(output)
        return output

    def unroll(self, clip: Tensor, prompts: Sequence[Prompt | None], *, labels: Sequence[Tensor] | None = None,
               state: VideoState | None = None,
               features: Collection[str] | None = ()) -> Iterator[StepOutput]:
        """Step through a batch of clips.

        Args:
            clip: (B, T, 3, H, W).
            prompts: T prompts, or None where nothing starts.
            labels: T true labels, see :meth:`step`.
            state: of the videos; that of new training clips by default.
            features: see :meth:`step`.
        """
        state = self.init_state(len(clip), training=True) if state is None else state
        for t in range(clip.shape[1]):
            yield self.step(state, clip[:, t], prompts[t], last=t == clip.shape[1] - 1,
                            labels=None if labels is None else labels[t], features=features)

    def running(self, state: VideoState, *, prompted: bool = False, last: bool = False,
                labels: Tensor | None = None,
                features: Collection[str] | None = ()) -> AbstractContextManager[FrameRun]:
        """The run of a frame: stages that are called one by one are called inside."""
        return FrameRun.begin(state, self.frame_policies, prompted=prompted, last=last, labels=labels,
                              features=features)

    def kind_of(self, state: VideoState, prompt: Prompt | None, last: bool) -> str:
        """What kind of frame comes next, for statistics; see :class:`StepOutput`."""
        if prompt is not None:
            return "first"
        kept = not (last or state.training or state.memory is None) and state.memory.is_kept(state.frame_index, False)
        return "memory" if kept else "query"

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects; their ids cannot be used again in this video."""
        state.drop_objects(list(ids))

    # mmengine's interface -----------------------------------------------------------------------------------------

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor") -> Any:
        """Called by mmengine: ``loss`` for training; ``tensor`` encodes frames (B, 3, H, W) only."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "tensor":
            return self.encode_deep(self.encode_shallow(inputs))
        raise InputError(f"mode {mode!r} is not known; videos are segmented by step(), see VOSSession")


def masks_of(labels: Tensor, like: Tensor) -> Tensor:
    """Labels (B, H, W) by channel as masks of the size, type and number (B, O, h, w) of others."""
    channels = torch.arange(1, 1 + like.shape[1], device=labels.device)[:, None, None]
    masks = (labels[:, None] == channels).to(like)
    return masks if masks.shape == like.shape else F.interpolate(masks, size=like.shape[-2:], mode="nearest")
