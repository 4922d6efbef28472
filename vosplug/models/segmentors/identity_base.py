"""What AOT and DeAOT share: objects as identities, propagated together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import BACKBONES, DECODERS, ENCODERS, LAYERS, MATCHING_HEADS
from ...structures import Level, Prompt, ReferencePrediction, Rows, VideoState
from ...structures.rows import Key
from ...utils.errors import ConfigError
from ..backbones.sparse_convs import SparsePart
from ..frame_run import FrameRun, current_run, working_on
from ..layers.aggregate import clamped_logit, full_precision, hide_inactive, one_hot, winners
from ..matching_heads.propagation import Draft
from .base import Cut, VOSSegmentor
from .identity_groups import IdentityGroups, IdentitySlots

MERGE_EPSILON = 1e-5
SPARSE_PARTS = {
    "Q": SparsePart("encoder", per_frame=("*",), blocks=("encoder.backbone.*.*",),
                    outer=("encoder.backbone.*.downsample.*", "encoder.proj")),
    "D": SparsePart("decoder", per_frame=("decoder.adapters.*",), blocks=("decoder.convs.*",),
                    outer=("decoder.conv_in.*", "decoder.adapters.*", "decoder.conv_out")),
}


@dataclass
class PropagationFeatures:
    """What is known of one frame.

    Attributes:
        pyramid: levels of the backbone, (B, C, ..).
        context: (B, C, h, w) projection; None while only the shallow levels are there.
        drafts: per layer, what the memory needs of the ``rows`` that were propagated; None before.
        rows: that were propagated.
    """

    pyramid: dict[str, Tensor]
    context: Tensor | None = None
    drafts: list[Draft] | None = None
    rows: Rows | None = None

    def drafts_of(self, rows: Rows) -> list[Draft]:
        """The drafts of some of the rows."""
        if rows.keys == self.rows.keys:
            return self.drafts
        places = self.rows.places(rows)
        return [tuple(x[places] for x in draft) for draft in self.drafts]


def small_models(matching_head: dict, identity_bank: dict, context: bool) -> list[dict]:
    """Examples: one like the smallest published model, and one of three layers with long-term memory.

    Args:
        matching_head, identity_bank: configs.
        context: of the decoder, see :class:`~..decoders.FPNDecoder`.
    """
    mask_losses = [dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, weight=0.5),
                   dict(type="SoftJaccardLoss", weight=0.5)]
    backbone = BACKBONES.example("ResNet", widths=(8, 8, 16), norm=dict(type="FrozenBN"), frozen_stages=1)
    plain = dict(
        preprocessor=dict(type="ResizingPreprocessor", divisor=16),
        encoder=dict(type="ProjectedEncoder", channels=32, backbone=backbone),
        identity_bank=identity_bank, matching_head=matching_head, memory=dict(type="LayeredBank"),
        decoder=dict(type="FPNDecoder", channels=32, context=context),
        losses=[*mask_losses, dict(type="ReferenceLoss", losses=mask_losses)])
    return [plain, dict(plain, matching_head=dict(matching_head, layers=3), memory=dict(type="LayeredBank", gap=2))]


class IdentitySegmentor(VOSSegmentor):
    """Base of AOT and DeAOT: all objects of a group are segmented at once, each by its identity.

    Rows are groups of at most ``max_objects`` objects. A frame that starts objects goes through the propagation a
    second time, with the given masks and itself as its memory, in every group. What is fed back are hard labels of the
    size of the video. The objects of a group are one row, so behind a reuse gate they decide together.

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        encoder: config (kind ``encoder``), see :class:`~..encoders.ProjectedEncoder`.
        identity_bank: config (kind ``layer``), see :class:`~..layers.IdentityBank`.
        matching_head: config (kind ``matching head``), a :class:`~..matching_heads.propagation.Propagation`.
        decoder: config (kind ``decoder``), see :class:`~..decoders.FPNDecoder`.
        max_objects: objects of a group.
        shuffle_identities: in training, objects take identities in random order.
        labels_in_memory: share of the training in which true labels, not predictions, are memorised. After it the
            identity bank is frozen. It takes effect when training tells its progress.
    """

    sparse_parts = SPARSE_PARTS
    prompts_renew = True

    def __init__(self, preprocessor: dict, encoder: dict, identity_bank: dict, matching_head: dict, memory: dict,
                 decoder: dict, max_objects: int = 10, shuffle_identities: bool = True, labels_in_memory: float = 0.0,
                 losses: list[dict] | None = None, init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        if max_objects < 1:
            raise ConfigError(f"{type(self).__name__}.max_objects must be at least 1, got {max_objects}")
        if not 0 <= labels_in_memory <= 1:
            raise ConfigError(f"{type(self).__name__}.labels_in_memory must lie in [0, 1], got {labels_in_memory}")
        self.encoder = ENCODERS.build(encoder)
        channels, stride = self.encoder.out_channels, self.encoder.stride
        self.identity_bank = LAYERS.build(identity_bank, max_objects=max_objects, channels=channels, stride=stride)
        self.matching_head = MATCHING_HEADS.build(matching_head, key_channels=channels)
        self.decoder = DECODERS.build(decoder, value_channels=self.matching_head.out_channels,
                                      context_channels=channels, levels=self.encoder.levels, outputs=max_objects + 1)
        self.cut = Cut(early=self.encoder.levels[self.encoder.upto],
                       coarse=Level(self.decoder.out_channels, stride))
        self.slots = IdentitySlots(max_objects)
        self.shuffle_identities = shuffle_identities
        self.labels_in_memory = labels_in_memory
        self.teacher_forcing = False

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Switch from true labels to predictions, and freeze the identity bank; called by the training loop."""
        if self.labels_in_memory:
            self.teacher_forcing = iteration < self.labels_in_memory * max_iterations
            self.identity_bank.requires_grad_(self.teacher_forcing)

    # Groups -------------------------------------------------------------------------------------------------------

    def groups(self, state: VideoState) -> IdentityGroups:
        """The objects in groups, each with its identity."""
        return self.slots.of(state, self.device, shuffle=state.training and self.shuffle_identities)

    def rows(self, state: VideoState) -> Rows:
        """The groups."""
        return self.groups(state).rows

    def shared_keys(self, state: VideoState, ids: Collection[int]) -> set[Key]:
        """Keys of the groups of some objects."""
        groups = self.groups(state)
        rows = groups.row[:, [state.ids.channel(value) for value in ids]].flatten().tolist()
        return {groups.rows.keys[row] for row in rows if row >= 0}

    def row_masks(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """(B, O, H, W) masks of objects -> (R, 1, H, W) masks of groups: what any of their objects has."""
        return 1 - self.groups(state).planes(masks, rows, self.slots.max_objects)[:, :1]

    def certain_rows(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """Logits (R, max_objects + 1, h', w') that say what masks (B, O, H, W) of objects say, about each place."""
        planes, stride = self.groups(state).planes(masks, rows, self.slots.max_objects), self.decoder.stride
        return clamped_logit(F.avg_pool2d(planes, stride + 1, stride, stride // 2, count_include_pad=False))

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects: their identities are retired; a group that is left empty goes with its memory."""
        left = self.groups(state).columns_without([state.ids.channel(value) for value in ids])
        state.drop_objects(list(ids), columns=left)
        self.slots.retire(state)

    # Stages -------------------------------------------------------------------------------------------------------

    def encode_shallow(self, frame: Tensor) -> PropagationFeatures:
        """The finer levels of the pyramid."""
        return PropagationFeatures(self.encoder.shallow(frame))

    def encode_deep(self, features: PropagationFeatures) -> PropagationFeatures:
        """The whole pyramid and its projection."""
        if features.context is None:
            features.pyramid, features.context = self.encoder.deep(features.pyramid)
        return features

    def early(self, features: PropagationFeatures) -> Tensor:
        """The last of the finer levels."""
        return features.pyramid[self.encoder.upto]

    def decode_coarse(self, state: VideoState, features: PropagationFeatures, rows: Rows) -> Tensor:
        """Propagate, and decode at the stride of the keys: (R, C, h, w). Groups with equal memories run together."""
        context = rows.expand(features.context)
        order, outputs, drafts = [], [], []
        for members, long_term, short_term in state.memory.read(rows):
            whole = len(members) == len(rows)
            with working_on(rows if whole else rows.at(members)):
                output, draft = self.matching_head(context if whole else context[members], long_term, short_term)
            order.append(members)
            outputs.append(output)
            drafts.append(draft)
        back = torch.cat(order).argsort()
        layers = zip(*drafts, strict=True)
        features.drafts = [tuple(in_order(parts, back) for parts in zip(*layer, strict=True)) for layer in layers]
        features.rows = rows
        return self.decoder.coarse(in_order(outputs, back), features.context, features.pyramid, rows)

    def decode_fine(self, state: VideoState, features: PropagationFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits of the background and of all identities: (R, max_objects + 1, h', w')."""
        return self.decoder.fine(coarse, features.pyramid, rows)

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """Logits at the size of the video, (B, O + 1, H, W); identities that are nobody's have no share.

        One group keeps the decoder's logits. Of several, the softmax of each is taken; background is where all groups
        see it, and the log-odds are the logits.
        """
        out = self._composed(state, logits, rows, state.native_size)
        run = current_run()
        if run is not None and run.prompted:  # given masks are written as log-probabilities
            out = out.log_softmax(dim=1)
        return hide_inactive(out, state.active)

    def compose_as_decoded(self, state: VideoState, logits: Tensor, composed: Tensor, rows: Rows) -> Tensor:
        """Logits (B, O + 1, h', w'), not interpolated."""
        return hide_inactive(self._composed(state, logits, rows, tuple(logits.shape[-2:])), state.active)

    def _composed(self, state: VideoState, logits: Tensor, rows: Rows, size: tuple[int, int]) -> Tensor:
        groups, logits = self.groups(state), full_precision(logits)
        videos = [self._video(state, b, logits, rows, groups, size) for b in range(state.batch_size)]
        return videos[0][None] if len(videos) == 1 else torch.stack(videos)

    def _video(self, state: VideoState, b: int, logits: Tensor, rows: Rows, groups: IdentityGroups,
               size: tuple[int, int]) -> Tensor:
        """Logits (O + 1, H, W) of one video at ``size``; those of objects that it does not have mean nothing."""
        channels, parts = [0], []
        for place in (p for p, (video, _) in enumerate(rows.keys) if video == b):
            members, slots = groups.members(rows.keys[place])
            own = logits[place, [0, *slots]].contiguous()
            if tuple(own.shape[-2:]) != size:
                own = F.interpolate(own[None], size=size, mode="bilinear", align_corners=True)[0]
            parts.append(own)
            channels += [1 + channel for channel in members]
        merged = merged_logits(parts) if len(parts) > 1 else parts[0] if parts else logits.new_zeros(1, *size)
        if channels == list(range(state.num_objects + 1)):
            return merged
        out = merged.new_zeros(state.num_objects + 1, *size)
        return out.index_copy(0, torch.tensor(channels, device=out.device), merged)

    def feedback(self, state: VideoState, logits: Tensor) -> Tensor:
        """Hard masks (B, O, H', W'): the arg-max at the size of the video, by nearest neighbour at that of frames.

        Masks that were given for the size of the frames stay as they are.
        """
        labels = winners(logits)
        if tuple(labels.shape[-2:]) != state.frame_size:
            labels = F.interpolate(labels[:, None], size=state.frame_size, mode="nearest")[:, 0]
        masks = one_hot(labels, state.num_objects).to(logits.dtype)
        run = current_run()
        return masks if run is None or run.prompt is None else write_masks(masks, run.prompt, state)

    def memorize(self, state: VideoState, features: PropagationFeatures, masks: Tensor, rows: Rows,
                 run: FrameRun) -> None:
        """Write keys and values of every layer. A frame that starts objects is a reference for all groups."""
        groups = self.groups(state)
        rows = groups.rows if run.prompted else rows
        if run.last and not (run.prompted and self.predicts_references(run)):
            return
        identity = self.embed(masks, rows, groups, run)
        if run.prompted:
            output, tokens = self.matching_head.reference(rows.expand(features.context), identity)
            if self.predicts_references(run):
                coarse = self.decoder.coarse(output, features.context, features.pyramid, rows)
                logits = self.compose(state, self.decode_fine(state, features, coarse, rows), rows)
                run.note(ReferencePrediction(logits, clips=state.active.any(dim=1)))
        else:
            tokens = self.matching_head.complete(features.drafts_of(rows), identity)
        if not run.last:
            state.memory.write(state.frame_index, rows, tokens, grid=tuple(features.context.shape[-2:]),
                               prompted=run.prompted, names=self.matching_head.tensors,
                               recent_only=self.matching_head.recent_only)

    def embed(self, masks: Tensor, rows: Rows, groups: IdentityGroups, run: FrameRun) -> Tensor:
        """Identity embedding (R, C, h, w) of masks (B, O, H, W); in training perhaps of the true labels."""
        if run.training and self.teacher_forcing and run.labels is not None:
            masks = one_hot(run.labels, masks.shape[1]).to(masks.dtype)
        labels = None if run.training else groups.labels(masks, rows)
        return self.identity_bank(groups.planes(masks, rows, self.slots.max_objects) if labels is None else labels)

    def predicts_references(self, run: FrameRun) -> bool:
        """Whether a loss asks what is predicted for a frame whose masks are given."""
        return run.training and any(getattr(loss, "reads_references", False) for loss in self.losses)


def in_order(parts: Sequence[Tensor], order: Tensor) -> Tensor:
    """Rows of several tensors as one tensor, in the given order."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))[order]


def write_masks(masks: Tensor, prompt: Prompt, state: VideoState) -> Tensor:
    """Masks (B, O, H, W), in which those of a prompt are as they were given."""
    given = (prompt.at(state.frame_size).to(masks) > 0.5) & prompt.valid.to(masks.device)[:, :, None, None]
    channels = torch.tensor([state.ids.channel(value) for value in prompt.ids], device=masks.device)
    started = prompt.valid.to(masks.device)[:, :, None, None]
    own = torch.where(started, given.to(masks), masks[:, channels])
    return masks.masked_fill(given.any(dim=1, keepdim=True), 0).index_copy(1, channels, own)


def merged_logits(groups: Sequence[Tensor]) -> Tensor:
    """Groups of (1 + O_i, H, W) logits, the background's first, as (1 + sum of O_i, H, W) log-odds."""
    probs = [logits.softmax(dim=0) for logits in groups]
    background = torch.stack([prob[0] for prob in probs]).prod(dim=0, keepdim=True)
    merged = torch.cat([background, *(prob[1:] for prob in probs)])
    return merged.clamp(MERGE_EPSILON, 1 - MERGE_EPSILON).logit()
