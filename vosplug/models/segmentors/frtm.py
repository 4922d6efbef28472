"""FRTM (Robinson, Lawin, Danelljan, Khan, Felsberg: Learning Fast and Robust Target Models, CVPR 2020)."""

import logging
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import BACKBONES, DECODERS, MEMORIES, SEGMENTORS
from ...structures import Level, Prompt, RowLogits, Rows, VideoState
from ...utils.errors import ConfigError
from ..backbones.base import level_of_stride
from ..frame_run import FrameRun, current_run, visible_run
from ..layers.aggregate import full_precision, keep_winners, log_probability, odds
from ..memories import TargetModel
from .base import Cut, VOSSegmentor
from .sparse_parts import FRTM_PARTS

LOGGER = logging.getLogger("vosplug")
SLOW_START = 5.0  # seconds of learning, after which the log says what takes so long
SHALLOW_STRIDE, TARGET_STRIDE = 8, 16
PROTOCOLS = ("davis", "youtube_vos")
UNMERGED = "frtm.unmerged"


@dataclass
class PyramidFeatures:
    """What is known of a frame.

    Attributes:
        frame: (B, 3, H, W).
        pyramid: level -> (B, C, H/stride, W/stride).
        hidden: (R, Ch, h, w) projections by the target models; None until a score was asked for.
        rows: the R rows.
    """

    frame: Tensor
    pyramid: dict[str, Tensor]
    hidden: Tensor | None = None
    rows: Rows | None = None


@SEGMENTORS.register_module(examples=lambda: [
    dict(preprocessor=dict(type="VOSPreprocessor", divisor=1), backbone=BACKBONES.example("ResNet", 2, widths=(8,) * 4),
         memory=MEMORIES.example("TargetModel"), decoder=DECODERS.example("Refiner"), losses=[dict(type="ObjectBCE")],
         protocol=protocol) for protocol in PROTOCOLS])
class FRTM(VOSSegmentor):
    """A target model per object, learnt online, gives a coarse score; a network that is trained beforehand refines it.

    The coarse half gives the refined feature at the stride of the score, and the score as its last channel.

    Args:
        preprocessor, losses, init_cfg: see :class:`~.base.VOSSegmentor`. FRTM pads nothing: ``divisor=1``.
        backbone: config (kind ``backbone``). The published one is frozen; gradients reach it through its features,
            never through what is learnt online.
        memory: config of a :class:`~..memories.TargetModel`.
        decoder: config (kind ``decoder``) of the refiner.
        protocol: how objects are merged: ``davis`` merges the winners of a first merging once more for the label, so
            that a pixel of several unsure objects becomes background; ``youtube_vos`` merges once. Target models
            learn from the winners either way.
    """

    sparse_parts = FRTM_PARTS

    def __init__(self, preprocessor: dict, backbone: dict, memory: dict, decoder: dict, protocol: str = "davis",
                 losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        if not isinstance(self.memory, TargetModel):
            raise ConfigError(f"FRTM.memory must be a TargetModel, got {type(self.memory).__name__}")
        if protocol not in PROTOCOLS:
            raise ConfigError(f"FRTM.protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
        self.protocol = protocol
        self.backbone = BACKBONES.build(backbone)
        levels = self.backbone.levels
        self.target_level = level_of_stride(levels, TARGET_STRIDE, "FRTM")
        self.shallow_level = level_of_stride(levels, SHALLOW_STRIDE, "FRTM")
        self.decoder = DECODERS.build(decoder, levels=levels)
        used = {self.target_level, *self.decoder.levels}
        self.last_level = [name for name in levels if name in used][-1]
        self.cut = Cut(early=levels[self.shallow_level], scored=True,
                       coarse=Level(self.decoder.out_channels, self.decoder.stride))

    # Stages -----------------------------------------------------------------------------------------------------------

    def encode_shallow(self, frame: Tensor) -> PyramidFeatures:
        """The levels up to stride 8."""
        return PyramidFeatures(frame, self.backbone(frame, upto=self.shallow_level))

    def early(self, features: PyramidFeatures) -> Tensor:
        """The level of stride 8."""
        return features.pyramid[self.shallow_level]

    def encode_deep(self, features: PyramidFeatures) -> PyramidFeatures:
        """All levels that are used."""
        features.pyramid = self.backbone.extend(features.pyramid, upto=self.last_level)
        return features

    def decode_coarse(self, state: VideoState, features: PyramidFeatures, rows: Rows) -> Tensor:
        """Refined feature and score (R, C + 1, h, w) at stride 16."""
        deep = features.pyramid[self.target_level]
        with torch.autocast(deep.device.type, enabled=False):
            features.hidden, features.rows = state.memory.project(deep, rows), rows
            score = state.memory.score(features.hidden, rows)
        levels = {name: rows.expand(features.pyramid[name]) for name in self.decoder.coarse_names}
        x = self.decoder.coarse(levels, score.to(deep))
        return torch.cat([x, score.to(x)], dim=1)

    def decode_fine(self, state: VideoState, features: PyramidFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits (R, 1, H, W)."""
        levels = {name: rows.expand(features.pyramid[name]) for name in self.decoder.fine_names}
        logits = self.decoder.fine(levels, coarse[:, -1:], coarse[:, :-1], state.frame_size)
        run = visible_run()
        if run is not None and run.training:
            run.note(RowLogits(rows, logits))
        return logits

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """Merge objects by their odds: log-probabilities (B, O + 1, H, W)."""
        prob = rows.scatter(full_precision(logits[:, 0]).sigmoid())
        run = current_run()
        if run is not None and run.prompted:
            run.shared[UNMERGED] = prob
        return self.merge(prob, state.active)

    def merge(self, prob: Tensor, active: Tensor) -> Tensor:
        """(B, O, H, W) probabilities of single objects -> (B, O + 1, H, W) log-probabilities by the protocol."""
        merged = odds(prob, active)
        return keep_winners(merged, active) if self.protocol == "davis" else log_probability(merged, active)

    def give(self, state: VideoState, logits: Tensor, prompt: Prompt, run: FrameRun) -> Tensor:
        """Given masks are certain before objects are merged; others are ruled out there."""
        known = run.shared[UNMERGED]
        prob = known.new_zeros(*state.active.shape, *known.shape[-2:])
        prob[:, : known.shape[1]] = known
        given = prompt.at(tuple(prob.shape[-2:])).to(prob) > 0.5
        given &= prompt.valid.to(given.device)[:, :, None, None]
        prob = prob.masked_fill(given.any(dim=1, keepdim=True), 0)
        for column, value in enumerate(prompt.ids):
            started = prompt.valid[:, column].to(prob.device)[:, None, None]
            channel = state.ids.channel(value)
            prob[:, channel] = torch.where(started, given[:, column].to(prob), prob[:, channel])
        return self.merge(prob, state.active)

    def feedback(self, state: VideoState, logits: Tensor) -> Tensor:
        """What target models learn from: probabilities of the winners, 0 for the others."""
        if self.protocol == "youtube_vos":
            logits = keep_winners(logits.exp(), state.active)
        return logits.exp()[:, 1:]

    @torch.no_grad()
    def memorize(self, state: VideoState, features: PyramidFeatures, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Start target models where objects start; give the others what was predicted."""
        if not state.memory.wants(state.frame_index, prompted=run.prompted, last=run.last):
            return
        started = set() if run.started is None else set(run.started.keys)
        before = time.perf_counter()
        with torch.autocast(masks.device.type, enabled=False), run.whose(None):
            for number, key in enumerate(rows.keys):
                cell = int(rows.batch[number]), int(rows.slot[number])
                if key in started:
                    self.start(state, features, masks[cell], cell, key)
                else:
                    hidden = features.hidden[features.rows.keys.index(key)]
                    state.memory.update(state.memory.targets[cell], hidden, masks[cell])
        seconds = time.perf_counter() - before
        if started and seconds > SLOW_START:
            LOGGER.info("frame %d: learning %d objects took %.1f s; later frames are faster", state.frame_index,
                        len(started), seconds)

    def start(self, state: VideoState, features: PyramidFeatures, mask: Tensor, cell: tuple[int, int],
              key: tuple) -> None:
        """Learn the target model of one object from samples of its first frame; ``mask`` (H, W) is the given one."""
        memory, backbone = state.memory, self.backbone
        policy, name, frame = memory.policy, (key[1], state.frame_index), features.frame[cell[0]]
        if policy.cache is not None:
            entry = policy.cache.key(frame, mask, name, backbone)
            if memory.recall(cell, entry, frame.device):
                return
        frames, masks = policy.augmentation(frame, (mask > 0.5).to(mask), (policy.seed, *name), self.data_preprocessor)
        memory.start(cell, name, backbone(frames, upto=self.target_level)[self.target_level], masks)
        if policy.cache is not None:
            memory.keep(cell, entry)
