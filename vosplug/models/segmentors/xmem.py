"""XMem (Cheng and Schwing: Long-Term Video Object Segmentation with an Atkinson-Shiffrin Memory Model, ECCV 2022)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...registry import DECODERS, LAYERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Pairs, VideoState
from ...structures.rows import Rows
from ...utils.errors import ConfigError
from ..encoders import FrameFeatures, build_encoders
from ..frame_run import current_run
from ..memories.frame_bank import MemoryEntry
from .base import VOSSegmentor
from .sparse_parts import SPARSE_PARTS

SENSORY, LAST_DEEP_UPDATE = "sensory", "last_deep_update"


@dataclass
class Decoded:
    """What decoding leaves for the update of the sensory memory.

    Attributes:
        scales: refined features (P, C, h_i, w_i) and logits of the decoder.
        sensory: (P, Ch, h, w) before the frame.
        pairs: the P pairs.
        rows: whose they are.
    """

    scales: list[Tensor]
    sensory: Tensor
    pairs: Pairs
    rows: Rows


@SEGMENTORS.register_module()
class XMem(VOSSegmentor):
    """STCN with three memories: sensory (a hidden state per object), working and long-term.

    The sensory memory is ``state.cache["sensory"]`` (B, O, Ch, h, w); it is zero for an object that starts. After
    decoding it is updated from features of all strides (normal update); frames that are memorised update it from
    their values instead (deep update). Working and long-term memory are :class:`~..memories.LongTermMemory`.

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        key_encoder, value_encoder: configs (kind ``encoder``); keys with ``anisotropic=True``.
        matching_head: config (kind ``matching head``).
        decoder: config (kind ``decoder``); gets read-out and sensory memory side by side.
        normal_update, deep_update: configs (kind ``layer``) of the two updates.
        sensory_channels: Ch.
        deep_update_every: -1 updates deeply on every memorised frame, and normally on all others. A number r of at
            least 1 updates normally on all frames, and deeply too on a memorised frame if the last deep update is at
            least r frames ago.
        deep_update_probability: in training all frames update normally, and deeply too with this probability.
    """

    # Tri-XMem (SpVOS, IV-D5): the update of the sensory memory from the decoder's features belongs to the decoder.
    sparse_parts: ClassVar = {**SPARSE_PARTS, "D": replace(SPARSE_PARTS["D"], blocks=(*SPARSE_PARTS["D"].blocks,
                                                                                    "normal_update.*"))}

    def __init__(self, preprocessor: dict, key_encoder: dict, value_encoder: dict, matching_head: dict, memory: dict,
                 decoder: dict, normal_update: dict | None = None, deep_update: dict | None = None,
                 sensory_channels: int = 64, deep_update_every: int = -1, deep_update_probability: float = 0.2,
                 losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        if deep_update_every != -1 and deep_update_every < 1:
            raise ConfigError("XMem.deep_update_every must be -1 (on memorised frames) or at least 1, "
                              f"got {deep_update_every}")
        self.key_encoder, self.value_encoder = build_encoders(key_encoder, value_encoder)
        self.matching_head = MATCHING_HEADS.build(matching_head)
        self.decoder = DECODERS.build(
            decoder, value_channels=self.value_encoder.out_channels + sensory_channels,
            context_channels=self.key_encoder.context_channels, pyramid_channels=self.key_encoder.pyramid_channels,
            stride=self.key_encoder.stride)
        self.normal_update = LAYERS.build(normal_update or dict(type="MultiScaleUpdate"),
                                          in_channels=self.decoder.scale_channels,
                                          hidden_channels=sensory_channels)
        self.deep_update = LAYERS.build(deep_update or dict(type="SensoryGRU"),
                                        in_channels=self.value_encoder.out_channels, hidden_channels=sensory_channels)
        self.sensory_channels = sensory_channels
        self.deep_update_every = deep_update_every
        self.deep_update_probability = deep_update_probability

    def encode(self, frame: Tensor, state: VideoState) -> FrameFeatures:
        """Keys, shrinkage, selection, context and pyramid of (B, 3, H, W)."""
        return self.key_encoder(frame)

    def segment(self, state: VideoState, features: FrameFeatures, pairs: Pairs) -> Tensor:
        """Logits (P, H, W) of the known objects."""
        readout = self.matching_head(features.key, state.memory, pairs, state.frame_index,
                                     selection=features.selection)
        sensory = pairs.gather(self.sensory(state, features))
        logits, scales = self.decoder(torch.cat([readout, sensory.to(readout)], dim=1), features, pairs,
                                      state.frame_size, previous=state.masks, return_scales=True)
        features.decoded = Decoded(scales=scales, sensory=sensory, pairs=pairs, rows=current_run().rows)
        return logits

    def memorize(self, state: VideoState, frame: Tensor, features: FrameFeatures, masks: Tensor, *, prompted: bool,
                 last: bool) -> None:
        """Update the sensory memory, and write the frame if the memory wants it; the last frame leaves nothing."""
        if last:
            return
        writes = state.memory.wants(state.frame_index, prompted=prompted, last=last)
        deep = writes and self.updates_deeply(state, prompted)
        exclusive = self.deep_update_every == -1 and not state.memory.training
        if features.decoded is not None and not (deep and exclusive):
            decoded = features.decoded
            with current_run().whose(decoded.rows):
                updated = self.normal_update(decoded.scales, decoded.sensory)
            state.cache[SENSORY] = decoded.pairs.scatter(updated)
        if writes:
            self.write(state, frame, features, masks, prompted=prompted, deep=deep)

    def write(self, state: VideoState, frame: Tensor, features: FrameFeatures, masks: Tensor, *, prompted: bool,
              deep: bool) -> None:
        """Memorise keys and values, and update the sensory memory from the values if ``deep``."""
        pairs = Pairs.of(state.active, frame.device)
        value = self.value_encoder(frame, features.base, masks, pairs)
        if deep:
            sensory = pairs.gather(self.sensory(state, features))
            state.cache[SENSORY] = pairs.scatter(self.deep_update(value, sensory))
            state.cache[LAST_DEEP_UPDATE] = state.frame_index
        shrinkage, selection = features.shrinkage, features.selection
        state.memory.add(MemoryEntry(
            frame=state.frame_index, key=features.key.flatten(2), value=pairs.scatter(value).flatten(3),
            valid=state.active.clone(), grid=tuple(value.shape[-2:]), prompted=prompted,
            shrinkage=None if shrinkage is None else shrinkage.flatten(2),
            selection=None if selection is None else selection.flatten(2)))

    def updates_deeply(self, state: VideoState, prompted: bool) -> bool:
        """Whether this memorised frame updates the sensory memory from its values."""
        if state.memory.training:
            return prompted or float(torch.rand(())) < self.deep_update_probability
        if self.deep_update_every == -1:
            return True
        before = state.cache.get(LAST_DEEP_UPDATE, -self.deep_update_every)
        return state.frame_index - before >= self.deep_update_every

    def sensory(self, state: VideoState, features: FrameFeatures) -> Tensor:
        """Sensory memory (B, O, Ch, h, w) of the present objects; zeros for those that are new."""
        size = features.key.shape[-2:]
        held = state.cache.get(SENSORY)
        if held is None:
            held = features.key.new_zeros(state.batch_size, 0, self.sensory_channels, *size)
        if held.shape[1] < state.num_objects:
            new = held.new_zeros(state.batch_size, state.num_objects - held.shape[1], self.sensory_channels, *size)
            held = torch.cat([held, new], dim=1)
        return held

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects and drop their sensory memory; their ids cannot be used again in this video."""
        gone = {state.ids.channel(v) for v in ids}
        super().remove_objects(state, ids)
        if SENSORY in state.cache:
            held = state.cache[SENSORY]
            keep = [channel for channel in range(held.shape[1]) if channel not in gone]
            state.cache[SENSORY] = held[:, keep]
