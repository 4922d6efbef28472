"""The frame loop that all semi-supervised segmentors share."""

from abc import abstractmethod
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...registry import LOSSES, MEMORIES, PREPROCESSORS
from ...structures import ClipSample, Pairs, Prompt, StepOutput, VideoState
from ...structures.notes import Work
from ...structures.rows import Rows
from ...utils.errors import ConfigError, InputError
from ..frame_run import FrameRun
from ..layers.aggregate import full_precision, merge_prompt, soft_aggregate
from .training import LossMeter, first_frames, hide_unstarted, to_channels, training_prompt


class VOSSegmentor(BaseModel):
    """Base of semi-supervised video object segmentation: a frame loop of four stages.

    ``step()`` is the only path of inference *and* of training: encode the frame, segment the known objects by
    reading the memory, merge masks that are given for this frame, and memorise. A method implements the stages;
    gates, distillers and test-time wrappers call them one by one.

    Args:
        preprocessor: config of a preprocessor (kind ``preprocessor``).
        memory: config of a memory (kind ``memory``), or None for a method without one.
        losses: configs of losses (kind ``loss``); each is called per frame and their sum is minimised.
        init_cfg: as in mmengine.
    """

    def __init__(self, preprocessor: dict, memory: dict | None = None, losses: list[dict] | None = None,
                 init_cfg: dict | None = None):
        if (init_cfg or {}).get("type") == "Pretrained":
            raise ConfigError("init_cfg of type 'Pretrained' would unpickle a file unsafely: use load_from of the "
                              "config, or weights= of a backbone")
        super().__init__(data_preprocessor=PREPROCESSORS.build(preprocessor), init_cfg=init_cfg)
        self.memory = None if memory is None else MEMORIES.build(memory)
        self.losses = nn.ModuleList(LOSSES.build(loss) for loss in losses or [])
        self.frame_policies: list = []

    # Stages, implemented by the methods -------------------------------------------------------------------------

    @abstractmethod
    def encode(self, frame: Tensor, state: VideoState) -> Any:
        """Features of a frame (B, 3, H, W), independent of objects."""

    @abstractmethod
    def segment(self, state: VideoState, features: Any, pairs: Pairs) -> Tensor:
        """Read the memory and decode: logits (P, H, W), one per (video, object) pair, background not yet considered."""

    @abstractmethod
    def memorize(self, state: VideoState, frame: Tensor, features: Any, masks: Tensor, *, prompted: bool,
                 last: bool) -> None:
        """Write what the method keeps of this frame; ``masks`` are (B, O, H, W) probabilities after aggregation."""

    # The frame loop -----------------------------------------------------------------------------------------------

    def init_state(self, batch_size: int = 1, training: bool = False) -> VideoState:
        """Return the state of ``batch_size`` new videos, or of a batch of training clips."""
        memory = None if self.memory is None else self.memory.new(training=training)
        return VideoState(batch_size=batch_size, memory=memory, training=training)

    def step(self, state: VideoState, frame: Tensor, prompt: Prompt | None = None, *, last: bool = False) -> StepOutput:
        """Segment one frame and update ``state`` in place.

        Args:
            state: what is known of the video.
            frame: (B, 3, H, W), normalised and padded by the preprocessor.
            prompt: masks of objects that start at this frame; they win over what is predicted for other objects.
            last: no frame follows, so nothing is memorised.

        Raises:
            InputError: the frame or the prompt does not fit the state, which is then as before.

        Returns:
            Logits over background and objects on the padded frame.
        """
        state.check_frame(frame)
        run = FrameRun(state, prompted=prompt is not None, last=last, training=state.training)
        for policy in self.frame_policies:
            run.plan.update(policy.decide(state, run.prompted, last))
        with run.working():
            features = self.encode(frame, state)
            with run.whose(self.rows(state)):
                prob = self.propagate(state, features)
            if prompt is not None:
                state.start_objects(prompt)
                prob = merge_prompt(prob, state, prompt)
            logits = soft_aggregate(prob, state.active)
            masks = logits.softmax(dim=1)[:, 1:]
            if state.num_objects:
                with run.whose(self.rows(state)):
                    self.memorize(state, frame, features, masks, prompted=prompt is not None, last=last)
        state.masks = masks
        state.frame_index += 1
        state.ended = last
        return StepOutput(logits=logits, ids=state.ids.ids, notes=run.notes)

    def rows(self, state: VideoState) -> Rows:
        """Whose rows object-wise networks see: (video, active object)."""
        return Rows.of_objects(state.active, state.ids.ids, next(self.parameters()).device)

    def propagate(self, state: VideoState, features: Any) -> Tensor:
        """Independent probabilities (B, O, H, W) of the objects that are known before this frame."""
        shape = (state.batch_size, state.num_objects, *state.frame_size)
        parameter = next(self.parameters())
        if not state.active.any():
            return torch.zeros(shape, device=parameter.device, dtype=parameter.dtype)
        pairs = Pairs.of(state.active, parameter.device)
        return pairs.scatter(full_precision(self.segment(state, features, pairs)).sigmoid())

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects; their ids cannot be used again in this video."""
        state.drop_objects(list(ids))

    # Training -------------------------------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list[ClipSample]) -> dict[str, Tensor]:
        """Unroll :meth:`step` over clips and average the losses over the frames that propagate something.

        Args:
            inputs: (B, T, 3, H, W), normalised and padded.
            data_samples: B samples with ``labels`` (T, H, W) padded alike.

        Returns:
            One entry ``loss_<name>`` per loss, and ``iou``, the mean IoU of objects over propagated frames.
        """
        labels = torch.stack([s.labels for s in data_samples]).to(inputs.device).long()
        first = first_frames(data_samples, never=inputs.shape[1])
        state = self.init_state(len(inputs), training=True)
        meter = LossMeter(self.losses)
        for t in range(inputs.shape[1]):
            known = state.active.any(dim=1)
            prompt = training_prompt(labels[:, t], first, t)
            output = self.step(state, inputs[:, t], prompt, last=t == inputs.shape[1] - 1)
            meter.add_work([note for note in output.notes if isinstance(note, Work)])
            if known.any():
                target = to_channels(hide_unstarted(labels[:, t], first, t), output.ids)
                before = (first < t)[:, [slot - 1 for slot in output.ids]]
                meter.add(output.logits, target, known, state.active & before)
        return meter.result(self.parameters())

    # mmengine's interface -----------------------------------------------------------------------------------------

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor") -> Any:
        """Called by mmengine: ``loss`` for training; ``tensor`` encodes frames (B, 3, H, W) only."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "tensor":
            return self.encode(inputs, self.init_state(len(inputs)))
        raise InputError(f"mode {mode!r} is not known; videos are segmented by step(), see VOSSession")
