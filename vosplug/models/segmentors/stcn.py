"""STCN (Cheng, Tai, Tang: Rethinking Space-Time Networks, NeurIPS 2021), SpVOS's non-sparse baseline."""

from torch import Tensor

from ...registry import BACKBONES, DECODERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Level, Rows, VideoState
from ..encoders import SHALLOW, FrameFeatures, build_encoders
from ..frame_run import FrameRun
from ..memories import MemoryEntry, MemoryState
from .base import Cut, VOSSegmentor
from .sparse_parts import SPARSE_PARTS


def small_models() -> list[dict]:
    """Examples: one like the published model, and one with group norm, a locality prior and previous masks."""
    norm = dict(type="GN", channels_per_group=16)
    fusion = dict(type="TopDownFusion", channels=16)
    backbone = dict(type="ResNet", depth=None, block="basic", stem_kernel=5, stem_pool=False, widths=(8, 16, 16),
                    norm=norm)
    published = dict(
        preprocessor=dict(type="VOSPreprocessor"),
        key_encoder=dict(type="KeyEncoder", backbone=BACKBONES.example("ResNet", 1), key_channels=8,
                         context_channels=8),
        value_encoder=dict(type="ValueEncoder", backbone=BACKBONES.example("ResNet", bias=True),
                           fuser=dict(type="CBAMFuser", channels=16)),
        matching_head=dict(type="L2Matching", top_k=20), memory=dict(type="FrameBank"),
        decoder=dict(type="MaskDecoder", compress_channels=16, up_channels=(8, 8)),
        losses=[dict(type="BootstrappedCE")])
    small = dict(
        preprocessor=dict(type="VOSPreprocessor"),
        key_encoder=dict(type="KeyEncoder", backbone=dict(backbone, blocks=(2, 2, 2), stem_channels=24), fusion=fusion,
                         key_channels=16, context_channels=None),
        value_encoder=dict(type="ValueEncoder", backbone=dict(backbone, blocks=(1, 1, 1), stem_channels=16),
                           fusion=fusion, fuser=dict(type="ResidualFuser", channels=16, norm=norm)),
        matching_head=dict(type="L2Matching", prior=dict(type="LocalityPrior")),
        memory=dict(type="FrameBank", include_last=True, max_frames=12),
        decoder=dict(type="MaskDecoder", compress_channels=16, up_channels=(16,), previous_masks=True, norm=norm,
                     output_bias=-2.0),
        losses=[dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
    return [published, small]


@SEGMENTORS.register_module(examples=small_models)
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
        keys, values = self.key_encoder, self.value_encoder
        self.matching_head = MATCHING_HEADS.build(matching_head, key_channels=keys.key_channels,
                                                  value_channels=values.out_channels, stride=keys.stride)
        self.decoder = DECODERS.build(decoder, value_channels=self.matching_head.out_channels or values.out_channels,
                                      context_channels=keys.context_channels, levels=keys.levels, stride=keys.stride)
        self.cut = Cut(early=keys.levels[SHALLOW], coarse=Level(self.decoder.scale_channels[0], keys.stride))

    def new_memory(self, training: bool) -> MemoryState:
        """An empty memory that compares keys as the matching head does."""
        return self.memory.new(training=training, similarity=self.matching_head.similarity_of)

    def encode_shallow(self, frame: Tensor) -> FrameFeatures:
        """The finer levels of the pyramid."""
        return self.key_encoder.shallow(frame)

    def early(self, features: FrameFeatures) -> Tensor:
        """The last of the finer levels."""
        return features.pyramid[SHALLOW]

    def encode_deep(self, features: FrameFeatures) -> FrameFeatures:
        """Keys, context and the whole pyramid."""
        return self.key_encoder.deep(features)

    def decode_coarse(self, state: VideoState, features: FrameFeatures, rows: Rows) -> Tensor:
        """Read the memory and join it with the context: (R, C, h, w)."""
        readout = self.matching_head(features.key, state.memory, rows, state.frame_index)
        return self.decoder.coarse(readout, features, rows, previous=state.masks)

    def decode_fine(self, state: VideoState, features: FrameFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits (R, 1, H, W)."""
        return self.decoder.fine(coarse, features, rows, state.frame_size)

    def memorize(self, state: VideoState, features: FrameFeatures, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Write key and values of this frame if the memory wants it."""
        if not state.memory.wants(state.frame_index, prompted=run.prompted, last=run.last):
            return
        value = self.value_encoder(features.frame, features.base, masks, rows)
        state.memory.add(memory_entry(state, rows, value, run.prompted, key=features.key))


def memory_entry(state: VideoState, rows: Rows, value: Tensor, prompted: bool,
                 **maps: Tensor | None) -> MemoryEntry:
    """What a frame leaves in the memory: the values (R, Cv, h, w) of ``rows``, and maps (B, C, h, w) of the frame."""
    return MemoryEntry(
        frame=state.frame_index, frame_tensors={name: x.flatten(2) for name, x in maps.items() if x is not None},
        object_tensors={"value": rows.scatter(value).flatten(3)}, valid=rows.table(), grid=tuple(value.shape[-2:]),
        prompted=prompted)
