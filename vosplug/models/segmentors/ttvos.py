"""TTVOS (Park, Venkatesh, Kwak: lightweight VOS with adaptive template attention, arXiv:2011.04445)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import BACKBONES, DECODERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Level, MaskTransition, RowLogits, Rows, TemplateMask, VideoState
from ...utils.errors import ConfigError, InputError
from ..backbones.base import level_of_stride
from ..decoders.refiner import resize
from ..decoders.ttvos_decoder import CLASSES, halved
from ..frame_run import FrameRun, current_run, visible_run
from ..layers.aggregate import full_precision, normalised_odds
from ..layers.reuse import MOVED
from .base import Cut, VOSSegmentor
from .sparse_parts import TTVOS_PARTS

# What is kept of a row in ``state.objects``.
MASKS, TEMPLATE, PREVIOUS = "ttvos.masks", "ttvos.template", "ttvos.previous"
LOW_STRIDE, SHALLOW_STRIDE, DEEP_STRIDE = 4, 8, 16


@dataclass
class TemplateFeatures:
    """What is known of a frame.

    Attributes:
        pyramid: level -> (B, C, H/stride, W/stride).
        joined: (R, C, H/8, W/8) that says how much the template changes; None before rows were decoded.
        rows: the R rows.
    """

    pyramid: dict[str, Tensor]
    joined: Tensor | None = None
    rows: Rows | None = None


@SEGMENTORS.register_module(examples=lambda: [
    dict(preprocessor=dict(type="ReflectingPreprocessor"), backbone=BACKBONES.example("ResNet", widths=(8, 8, 8)),
         matching_head=dict(type="TemplateAttention"), decoder=dict(type="TTVOSDecoder"), history=history,
         losses=[dict(type="ObjectBCE"), dict(type="TransitionLoss", activation=activation),
                 dict(type="TemplateMaskLoss")]) for history, activation in ((3, None), (1, "softmax"))])
class TTVOS(VOSSegmentor):
    """A template per object, learnt anew from every frame (long-term), and the frame before (short-term).

    Of each object are kept: the last masks (newest first, background and object of each, zero before the object's
    start) at stride 8, the template, and the deep feature of the last frame. Short-term matching is the coarse half;
    the template is read in the fine half, since it sees features of stride 8. An object that starts late has its
    template from its own first frame. Memory and loop are the same in training, where the published code feeds back
    masks that are not merged.

    Args:
        preprocessor, losses, init_cfg: see :class:`~.base.VOSSegmentor`. Both sides of frames are multiples of 16.
        backbone: config (kind ``backbone``) with levels of stride 4, 8 and 16.
        matching_head: config (kind ``matching head``), see :class:`~..matching_heads.TemplateAttention`.
        decoder: config (kind ``decoder``), see :class:`~..decoders.TTVOSDecoder`.
        history: number of last masks that are kept.
    """

    sparse_parts = TTVOS_PARTS

    def __init__(self, preprocessor: dict, backbone: dict, matching_head: dict, decoder: dict, history: int = 3,
                 losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, losses=losses, init_cfg=init_cfg)
        if history < 1:
            raise ConfigError(f"TTVOS.history must be at least 1, got {history}")
        self.backbone = BACKBONES.build(backbone)
        levels = self.backbone.levels
        self.low_level, self.shallow_level, self.deep_level = (
            level_of_stride(levels, stride, "TTVOS") for stride in (LOW_STRIDE, SHALLOW_STRIDE, DEEP_STRIDE))
        self.mask_channels = CLASSES * history
        self.matching_head = MATCHING_HEADS.build(matching_head, mask_channels=self.mask_channels,
                                                  feature_channels=levels[self.shallow_level].channels)
        self.decoder = DECODERS.build(decoder, levels=levels, deep_level=self.deep_level, low_level=self.low_level,
                                      attended_channels=self.matching_head.out_channels,
                                      mask_channels=self.mask_channels)
        self.cut = Cut(early=levels[self.shallow_level], coarse=Level(self.decoder.out_channels, DEEP_STRIDE))

    # Stages -----------------------------------------------------------------------------------------------------------

    def encode_shallow(self, frame: Tensor) -> TemplateFeatures:
        """The levels up to stride 8."""
        if any(side % DEEP_STRIDE for side in frame.shape[-2:]):
            raise InputError(f"TTVOS works on frames whose sides are multiples of {DEEP_STRIDE}, got "
                             f"{frame.shape[-2]}x{frame.shape[-1]}: use a ReflectingPreprocessor with such a divisor")
        return TemplateFeatures(self.backbone(frame, upto=self.shallow_level))

    def early(self, features: TemplateFeatures) -> Tensor:
        """The level of stride 8."""
        return features.pyramid[self.shallow_level]

    def encode_deep(self, features: TemplateFeatures) -> TemplateFeatures:
        """All levels that are used."""
        features.pyramid = self.backbone.extend(features.pyramid, upto=self.deep_level)
        return features

    def decode_coarse(self, state: VideoState, features: TemplateFeatures, rows: Rows) -> Tensor:
        """Short-term matching: (R, C, H/16, W/16)."""
        deep = rows.expand(features.pyramid[self.deep_level])
        return self.decoder.coarse(deep, state.objects.read(MASKS, rows), state.objects.read(PREVIOUS, rows))

    def decode_fine(self, state: VideoState, features: TemplateFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits (R, 1, H, W): those of the object less those of the background."""
        feature = rows.expand(self.early(features))
        attended = self.matching_head(feature, self.last_masks(state, rows), state.objects.read(TEMPLATE, rows))
        logits, joined, x8 = self.decoder.fine(coarse, attended, features.pyramid[self.low_level], rows)
        features.joined, features.rows = joined, rows
        logits = logits[:, 1:] - logits[:, :1]
        run = visible_run()
        if run is not None and run.training:
            before = resize(self.row_masks(state, state.masks, rows), x8.shape[-2:])
            run.note(RowLogits(rows, logits))
            run.note(MaskTransition(rows, self.decoder.transition(x8), before.detach()))
            run.note(TemplateMask(rows, self.decoder.template_mask(attended)))
        return logits

    def last_masks(self, state: VideoState, rows: Rows) -> Tensor:
        """(R, mask_channels, H/8, W/8); the newest one of rows that a gate reuses is what the gate estimates."""
        masks, run = state.objects.read(MASKS, rows), current_run()
        moved = None if run is None else run.shared.get(MOVED)
        if moved is None:
            return masks
        estimate = resize(moved.score, masks.shape[-2:]).clamp(0, 1)
        newest = moved.put(torch.cat([1 - estimate, estimate], dim=1), masks[:, :CLASSES], rows)
        return torch.cat([newest, masks[:, CLASSES:]], dim=1)

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """Merge objects by normalised odds: logits (B, O + 1, H, W)."""
        return normalised_odds(rows.scatter(full_precision(logits[:, 0]).sigmoid()), state.active)

    def memorize(self, state: VideoState, features: TemplateFeatures, masks: Tensor, rows: Rows,
                 run: FrameRun) -> None:
        """Keep the mask and the deep feature, and let the template of each object follow."""
        if run.last or not len(rows):
            return
        store, own = state.objects, self.row_masks(state, masks, rows)
        newest = halved(torch.cat([1 - own, own], dim=1), times=3)
        nothing = newest.new_zeros(self.mask_channels, *newest.shape[-2:])
        started = () if run.started is None else run.started.keys  # what was known of these is of no use any more
        known = store.has(TEMPLATE, rows) & torch.tensor([key not in started for key in rows.keys], dtype=torch.bool)
        before = store.read(MASKS, rows, nothing) * known.to(newest)[:, None, None, None]
        last = torch.cat([newest, before[:, :-CLASSES]], dim=1)
        template = self.matching_head.template(rows.expand(self.early(features)), last)
        store.write(TEMPLATE, rows, self.followed(known, template, state, features, rows))
        store.write(MASKS, rows, last)
        store.write(PREVIOUS, rows, rows.expand(features.pyramid[self.deep_level]))

    def followed(self, known: Tensor, template: Tensor, state: VideoState, features: TemplateFeatures,
                 rows: Rows) -> Tensor:
        """New templates (R, Cv, Ck), those of rows that are ``known`` (R,) mixed with the old ones as decoding said."""
        old = rows.select(known)
        if not len(old):
            return template
        places = rows.places(old)
        share = self.decoder.share(features.joined[features.rows.places(old)])
        mixed = (state.objects.read(TEMPLATE, old) + share * template[places]) / (1 + share)
        return template.index_copy(0, places, mixed.to(template))
