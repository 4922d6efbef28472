"""XMem (Cheng and Schwing: Long-Term Video Object Segmentation with an Atkinson-Shiffrin Memory Model, ECCV 2022)."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...registry import BACKBONES, LAYERS, SEGMENTORS
from ...structures import Rows, VideoState
from ...utils.errors import ConfigError
from ..encoders import FrameFeatures
from ..frame_run import FrameRun
from .key_value_base import KeyValueSegmentor, memory_entry
from .sparse_parts import SPARSE_PARTS

SENSORY, LAST_DEEP_UPDATE = "sensory", "last_deep_update"


@dataclass
class Decoded:
    """What decoding leaves for the update of the sensory memory.

    Attributes:
        scales: refined features (R, C, h_i, w_i) and logits of the decoder.
        sensory: (R, Ch, h, w) before the frame.
        rows: the R rows.
    """

    scales: list[Tensor]
    sensory: Tensor
    rows: Rows

    def of(self, rows: Rows) -> tuple[list[Tensor], Tensor]:
        """Scales and sensory memory of some of the rows."""
        if rows.keys == self.rows.keys:
            return self.scales, self.sensory
        places = self.rows.places(rows)
        return [x[places] for x in self.scales], self.sensory[places]


def small_models() -> list[dict]:
    """An example that is like the published model."""
    return [dict(
        preprocessor=dict(type="VOSPreprocessor"),
        key_encoder=dict(type="KeyEncoder", backbone=BACKBONES.example("ResNet", 1), key_channels=8,
                         context_channels=8, anisotropic=True),
        value_encoder=dict(type="ValueEncoder", backbone=BACKBONES.example("ResNet", bias=True),
                           fuser=dict(type="CBAMFuser", channels=16, image_first=True)),
        matching_head=dict(type="AnisotropicL2Matching", top_k=30), memory=dict(type="LongTermMemory"),
        decoder=dict(type="MaskDecoder", fuser=dict(type="CBAMFuser", image_first=True), compress_channels=16,
                     up_channels=(8, 8)),
        normal_update=dict(type="MultiScaleUpdate", mid_channels=8), sensory_channels=8,
        losses=[dict(type="BootstrappedCE"), dict(type="DiceLoss")])]


@SEGMENTORS.register_module(examples=small_models)
class XMem(KeyValueSegmentor):
    """STCN with three memories: sensory (a hidden state per object), working and long-term.

    The sensory memory is ``"sensory"`` (R, Ch, h, w) of ``state.objects``, zero for an object that starts. After
    decoding it is updated from features of all strides (normal update); frames that are memorised update it from their
    values instead (deep update). Working and long-term memory are :class:`~..memories.LongTermMemory`.

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
        self.build_parts(key_encoder, value_encoder, matching_head, decoder, beside=sensory_channels)
        self.normal_update = LAYERS.build(normal_update or dict(type="MultiScaleUpdate"),
                                          in_channels=self.decoder.scale_channels, hidden_channels=sensory_channels)
        self.deep_update = LAYERS.build(deep_update or dict(type="SensoryGRU"), hidden_channels=sensory_channels,
                                        in_channels=self.value_encoder.out_channels)
        self.sensory_channels = sensory_channels
        self.deep_update_every = deep_update_every
        self.deep_update_probability = deep_update_probability

    def decode_coarse(self, state: VideoState, features: FrameFeatures, rows: Rows) -> Tensor:
        """Read the memories and join them with the context: (R, C, h, w)."""
        readout = self.matching_head(features.key, state.memory, rows, state.frame_index, selection=features.selection)
        sensory = self.sensory(state, features, rows)
        return self.decoder.coarse(torch.cat([readout, sensory.to(readout)], dim=1), features, rows,
                                   previous=state.masks)

    def decode_fine(self, state: VideoState, features: FrameFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits (R, 1, H, W)."""
        logits, scales = self.decoder.fine(coarse, features, rows, state.frame_size, return_scales=True)
        if features.key is None:  # a gate skipped the deep features: no row is computed anew, so none is memorised
            return logits
        features.decoded = Decoded(scales=scales, sensory=self.sensory(state, features, rows), rows=rows)
        return logits

    def memorize(self, state: VideoState, features: FrameFeatures, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Update the sensory memory, and write the frame if the memory wants it; the last frame leaves nothing."""
        if run.last:
            return
        writes = state.memory.wants(state.frame_index, prompted=run.prompted, last=False)
        deep = writes and self.updates_deeply(state, run)
        instead = deep and self.deep_update_every == -1 and not run.training
        if features.decoded is not None and not instead:
            self.update_normally(state, features.decoded, rows, run)
        if not writes:
            return
        value = self.value_encoder(features.frame, features.base, masks, rows)
        if deep:
            state.objects.write(SENSORY, rows, self.deep_update(value, self.sensory(state, features, rows)))
            state.cache[LAST_DEEP_UPDATE] = state.frame_index
        state.memory.add(memory_entry(state, rows, value, run.prompted, key=features.key,
                                      shrinkage=features.shrinkage, selection=features.selection))

    def update_normally(self, state: VideoState, decoded: Decoded, rows: Rows, run: FrameRun) -> None:
        """Update the sensory memory of those of ``rows`` that were decoded, from what the decoder made of them."""
        rows = decoded.rows.having(rows.keys)
        if len(rows):
            with run.whose(rows):
                state.objects.write(SENSORY, rows, self.normal_update(*decoded.of(rows)))

    def updates_deeply(self, state: VideoState, run: FrameRun) -> bool:
        """Whether this memorised frame updates the sensory memory from its values."""
        if run.training:
            return run.prompted or float(torch.rand(())) < self.deep_update_probability
        if self.deep_update_every == -1:
            return True
        before = state.cache.get(LAST_DEEP_UPDATE, -self.deep_update_every)
        return state.frame_index - before >= self.deep_update_every

    def sensory(self, state: VideoState, features: FrameFeatures, rows: Rows) -> Tensor:
        """Sensory memory (R, Ch, h, w); zeros for objects that are new."""
        nothing = features.key.new_zeros(self.sensory_channels, *features.key.shape[-2:])
        return state.objects.read(SENSORY, rows, nothing)
