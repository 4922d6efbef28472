"""EfficientVIS (Wu et al.: Efficient Video Instance Segmentation via Tracklet Query and Proposal, CVPR 2022)."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...registry import BACKBONES, NECKS, QUERIES, VIS_SEGMENTORS
from ...utils.errors import ConfigError
from ..tracklets.interaction import InteractionOutput, QueryVideoInteraction
from .vis_base import BaseVISSegmentor


def small_models() -> list[dict]:
    """Examples of 16 channels and two interactions; then with other linking, queries and chunks."""
    dynamic_conv = dict(type="TemporalDynamicConv", hidden=8)
    interaction = dict(
        attention=dict(type="FactorisedAttention", heads=4),
        head=dict(type="TrackletHead", ffn_channels=32, dynamic_conv=dynamic_conv),
        mask_head=dict(type="TrackletMaskHead", convs=1, norm=dict(type="GN"), size=7, dynamic_conv=dynamic_conv))
    queries = dict(type="TrackletQueries", num_queries=5)
    plain = dict(
        preprocessor=dict(type="VISPreprocessor", divisor=32), num_classes=3,
        backbone=BACKBONES.example("ResNet", widths=(8, 8, 16), norm=dict(type="GN")),
        neck=dict(type="FPN", channels=16), num_interactions=2, frame_chunk=2, clip_length=3, queries=queries,
        interaction=interaction)
    return [plain, dict(plain, linker=dict(type="HandCraftedLinking")),
            dict(plain, queries=dict(queries, time_shared=True)), dict(plain, frame_chunk=None)]


@VIS_SEGMENTORS.register_module(examples=small_models)
class EfficientVIS(BaseVISSegmentor):
    """Tracklet queries and proposals that interact M times with the features of a clip.

    Args:
        preprocessor, num_classes, clip_length, linker, loss, correspondence, init_cfg: see
            :class:`~.vis_base.BaseVISSegmentor`.
        backbone: config (kind ``backbone``), run frame by frame.
        neck: config (kind ``neck``).
        queries: config (kind ``tracklet query``).
        interaction: options of :class:`~vosplug.models.tracklets.QueryVideoInteraction`, the same for all.
        num_interactions: M.
        frame_chunk: frames that backbone and neck process at a time, so that their memory does not grow with T; None
            takes all at once.
        checkpointing: in training, activations of backbone, neck and interactions are computed again for the backward
            pass instead of being kept.
    """

    def __init__(self, preprocessor: dict, backbone: dict, num_classes: int, neck: dict | None = None,
                 queries: dict | None = None, interaction: dict | None = None, num_interactions: int = 6,
                 clip_length: int = 36, frame_chunk: int | None = 8, linker: dict | None = None,
                 loss: dict | None = None, correspondence: bool = True, checkpointing: bool = False,
                 init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, num_classes=num_classes, clip_length=clip_length, linker=linker,
                         loss=loss, correspondence=correspondence, init_cfg=init_cfg)
        if num_interactions < 1:
            raise ConfigError(f"EfficientVIS.num_interactions must be at least 1, got {num_interactions}")
        if frame_chunk is not None and frame_chunk < 1:
            raise ConfigError(f"EfficientVIS.frame_chunk must be at least 1 or None, got {frame_chunk}")
        self.frame_chunk, self.checkpointing = frame_chunk, checkpointing
        self.backbone = BACKBONES.build(backbone)
        self.neck = NECKS.build(neck or dict(type="FPN"), in_levels=self.backbone.levels)
        channels = self.neck.out_channels
        self.queries = QUERIES.build(queries or dict(type="TrackletQueries"), channels=channels)
        self.interactions = nn.ModuleList(
            QueryVideoInteraction(channels=channels, num_classes=num_classes, strides=self.neck.strides,
                                  **(interaction or {})) for _ in range(num_interactions))

    def encode(self, clip: Tensor) -> tuple[Tensor, ...]:
        """Pyramid levels (B * T, C, h, w) of (B, T, 3, H, W)."""
        frames = clip.flatten(0, 1)
        chunks = frames.split(self.frame_chunk or len(frames))
        parts = [self._maybe_checkpointed(self._encode, chunk) for chunk in chunks]
        return tuple(torch.cat(level) for level in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]

    def _encode(self, frames: Tensor) -> tuple[Tensor, ...]:
        return self.neck(self.backbone(frames))

    def initial_queries(self, batch_size: int) -> Tensor:
        """q* (B, N, C)."""
        return self.queries.initial(batch_size)

    def interact(self, features: tuple[Tensor, ...], queries: Tensor, sizes: Tensor,
                 length: int) -> list[InteractionOutput]:
        """M outputs, in order. Proposals start from b* in every clip, and pass on without a gradient."""
        outputs: list[InteractionOutput] = []
        embeddings = self.queries.repeat(queries, length)
        boxes = self.queries.proposals(sizes, length)
        for number, interaction in enumerate(self.interactions, start=1):
            masks = self.training or number == len(self.interactions)
            outputs.append(self._maybe_checkpointed(interaction, features, embeddings, boxes, masks=masks))
            embeddings, boxes = self.queries.renew(outputs[-1].queries), outputs[-1].boxes.detach()
        outputs[-1].queries = embeddings
        return outputs

    def _maybe_checkpointed(self, function, *args, **kwargs):
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(function, *args, use_reentrant=False, **kwargs)
        return function(*args, **kwargs)
