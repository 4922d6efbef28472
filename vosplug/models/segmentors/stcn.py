"""STCN (Cheng, Tai, Tang: Rethinking Space-Time Networks, NeurIPS 2021), SpVOS's non-sparse baseline."""

from torch import Tensor

from ...registry import DECODERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Pairs, VideoState
from ..encoders import FrameFeatures, build_encoders
from ..memories.frame_bank import MemoryEntry
from .base import VOSSegmentor
from .sparse_parts import SPARSE_PARTS


@SEGMENTORS.register_module()
class STCN(VOSSegmentor):
    """Space-time correspondence network: match keys of images, read values of masks, decode per object.

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        key_encoder, value_encoder: configs (kind ``encoder``).
        matching_head: config (kind ``matching head``).
        decoder: config (kind ``decoder``).
    """

    sparse_parts = SPARSE_PARTS

    def __init__(self, preprocessor: dict, key_encoder: dict, value_encoder: dict, matching_head: dict, memory: dict,
                 decoder: dict, losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        self.key_encoder, self.value_encoder = build_encoders(key_encoder, value_encoder)
        self.matching_head = MATCHING_HEADS.build(matching_head)
        self.decoder = DECODERS.build(
            decoder, value_channels=self.value_encoder.out_channels, context_channels=self.key_encoder.context_channels,
            pyramid_channels=self.key_encoder.pyramid_channels, stride=self.key_encoder.stride)

    def encode(self, frame: Tensor, state: VideoState) -> FrameFeatures:
        """Keys, context and pyramid of (B, 3, H, W)."""
        return self.key_encoder(frame)

    def segment(self, state: VideoState, features: FrameFeatures, pairs: Pairs) -> Tensor:
        """Logits (P, H, W) of the known objects."""
        readout = self.matching_head(features.key, state.memory, pairs, state.frame_index)
        return self.decoder(readout, features, pairs, state.frame_size, previous=state.masks)

    def memorize(self, state: VideoState, frame: Tensor, features: FrameFeatures, masks: Tensor, *, prompted: bool,
                 last: bool) -> None:
        """Write key and values of this frame if the memory wants it."""
        if not state.memory.wants(state.frame_index, prompted=prompted, last=last):
            return
        pairs = Pairs.of(state.active, frame.device)
        value = self.value_encoder(frame, features.base, masks, pairs)
        state.memory.add(MemoryEntry(
            frame=state.frame_index, key=features.key.flatten(2), value=pairs.scatter(value).flatten(3),
            valid=state.active.clone(), grid=tuple(value.shape[-2:]), prompted=prompted))
