"""STCN (Cheng, Tai, Tang: Rethinking Space-Time Networks, NeurIPS 2021), SpVOS's non-sparse baseline."""

from torch import Tensor

from ...registry import DECODERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Pairs, VideoState
from ..encoders import FrameFeatures, build_encoders
from ..memories import MemoryEntry
from .base import VOSSegmentor
from .sparse_processing import build_sparse


@SEGMENTORS.register_module()
class STCN(VOSSegmentor):
    """Space-time correspondence network: match keys of images, read values of masks, decode per object.

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        key_encoder, value_encoder: configs (kind ``encoder``).
        matching_head: config (kind ``matching head``).
        decoder: config (kind ``decoder``).
        sparse: config of :class:`~.sparse_processing.SparseProcessing` (SpVOS); None computes everything.
    """

    def __init__(self, preprocessor: dict, key_encoder: dict, value_encoder: dict, matching_head: dict, memory: dict,
                 decoder: dict, losses: list[dict] | None = None, init_cfg: dict | None = None,
                 sparse: dict | None = None):
        sparse = build_sparse(sparse)
        super().__init__(preprocessor=preprocessor, memory=memory, losses=[*(losses or []), *sparse.losses],
                         init_cfg=init_cfg)
        key_encoder, value_encoder, decoder = sparse.place(key_encoder, value_encoder, decoder)
        self.key_encoder, self.value_encoder = build_encoders(key_encoder, value_encoder)
        self.matching_head = MATCHING_HEADS.build(
            matching_head, key_channels=self.key_encoder.key_channels, value_channels=self.value_encoder.out_channels,
            stride=self.key_encoder.stride)
        self.decoder = DECODERS.build(
            decoder, value_channels=self.matching_head.out_channels or self.value_encoder.out_channels,
            context_channels=self.key_encoder.context_channels, pyramid_channels=self.key_encoder.pyramid_channels,
            stride=self.key_encoder.stride)
        self.use_sparse(sparse)

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
            frame=state.frame_index, frame_tensors={"key": features.key.flatten(2)},
            object_tensors={"value": pairs.scatter(value).flatten(3)}, valid=state.active.clone(),
            grid=tuple(value.shape[-2:]), prompted=prompted))
