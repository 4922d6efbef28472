"""STCN (Cheng, Tai, Tang: Rethinking Space-Time Networks, NeurIPS 2021), SpVOS's non-sparse baseline."""

from torch import Tensor

from ...registry import BACKBONES, SEGMENTORS
from ...structures import Rows, VideoState
from ...utils.errors import ConfigError
from ..encoders import FrameFeatures
from ..frame_run import FrameRun
from .key_value_base import KeyValueSegmentor, memory_entry


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
class STCN(KeyValueSegmentor):
    """Space-time correspondence network: match keys of images, read values of masks, decode per object.

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        key_encoder, value_encoder: configs (kind ``encoder``).
        matching_head: config (kind ``matching head``).
        decoder: config (kind ``decoder``).
    """

    def __init__(self, preprocessor: dict, key_encoder: dict, value_encoder: dict, matching_head: dict, memory: dict,
                 decoder: dict, losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        self.build_parts(key_encoder, value_encoder, matching_head, decoder)
        if getattr(self.key_encoder, "anisotropic", False):
            raise ConfigError("key_encoder.anisotropic=True has no effect: STCN reads neither shrinkage nor selection "
                              "(XMem does); leave it out")

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
