"""What CFBI and SST share: background and objects are slots that are matched, decoded and compared alike."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import BACKBONES, DECODERS, ENCODERS, MATCHING_HEADS
from ...structures import Level, Rows, VideoState
from ...utils.errors import ConfigError
from ...utils.masks import VOID
from ..decoders.collaborative_ensembler import joint_logits
from ..encoders.pixel_embedding import PixelFeatures
from ..frame_run import FrameRun
from ..layers.aggregate import certain_logits, clamped_logit, full_precision, hard_masks, hide_inactive
from ..layers.halving import nearest_labels
from ..matching_heads.slot_values import slot_masks
from ..memories import MemoryEntry
from ..preprocessors.resizing import resize_bilinear
from .base import Cut, VOSSegmentor
from .sparse_parts import PIXEL_PARTS

BACKGROUND = "background"
PREVIOUS, TOTAL = "previous", "reference.total"  # in ``state.cache``
REFERENCE, BEFORE = "reference.sums", "previous.sums"  # in ``state.objects``, (R, 2, C + 1): inside and outside
EPSILON = 1e-5
NOTHING = -1  # label of a cell that belongs to no slot


@dataclass
class PreviousFrame:
    """The previous frame.

    Attributes:
        embedding: (B, C, h, w).
        ids: (B, h, w) int64, the object of each cell: its id, 0 for background, -1 for none.
    """

    embedding: Tensor
    ids: Tensor

    def parted(self, slots: Tensor, rows: Rows) -> list[Tensor]:
        """The embedding inside and outside of ``rows``, two (R, C, h, w); ``slots`` (B, h, w) are those of the ids."""
        x, inside = rows.expand(self.embedding), (rows.expand(slots) == rows.slot[:, None, None])[:, None]
        return [x * inside, x * ~inside]


def small_model(output_stride: int, matching_head: dict, memory: dict) -> dict:
    """An example, like the published models.

    Args:
        output_stride: of the backbone.
        matching_head, memory: configs.
    """
    norm = dict(type="GN", channels_per_group=4)
    return dict(
        preprocessor=dict(type="ResizingPreprocessor", divisor=16),
        encoder=dict(type="PixelEmbedding", channels=12,
                     backbone=BACKBONES.example("ResNet", widths=(8, 8, 16), output_stride=output_stride,
                                                dilate_first=True, norm=norm),
                     neck=dict(type="DeepLabV3Plus", channels=16, low_channels=8, norm=norm, dropout=0.0)),
        matching_head=matching_head, memory=memory,
        decoder=dict(type="CollaborativeEnsembler", channels=16, prehead_channels=8, refine_channels=8,
                     slots_per_pass=2, norm=norm),
        labels_in_memory=0.5, given_frames=2,
        losses=[dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, count_void=True)])


class SlotSegmentor(VOSSegmentor):
    """Base of CFBI and SST: rows are the background and the objects of a video, as long as it has an object.

    What is fed back are hard labels of the size of the video. They are remembered by object id, so that slots may come
    and go: the cells of a removed object belong to none.

    Of each slot two means of the embedding are known, inside and outside of it, over all frames whose masks were given
    and over the previous frame: the vector that steers the decoder (CFBI, section 3.3).

    Args:
        preprocessor, memory, losses, init_cfg: see :class:`~.base.VOSSegmentor`.
        encoder: config (kind ``encoder``), see :class:`~..encoders.PixelEmbedding`.
        matching_head: config (kind ``matching head``).
        decoder: config (kind ``decoder``), see :class:`~..decoders.CollaborativeEnsembler`.
        labels_in_memory: share of the training in which true labels are remembered, not what is predicted. It takes
            effect when training tells its progress.
        given_frames: so many first frames of a training clip have true labels all the time, and are not predicted: the
            reference frame, and the previous frame of the first one that is (2).
    """

    sparse_parts = PIXEL_PARTS

    def __init__(self, preprocessor: dict, encoder: dict, matching_head: dict, memory: dict, decoder: dict,
                 labels_in_memory: float = 0.0, given_frames: int = 1, losses: list[dict] | None = None,
                 init_cfg: dict | None = None):
        super().__init__(preprocessor=preprocessor, memory=memory, losses=losses, init_cfg=init_cfg)
        if not 0 <= labels_in_memory <= 1:
            raise ConfigError(f"{type(self).__name__}.labels_in_memory must lie in [0, 1], got {labels_in_memory}")
        if given_frames < 1:
            raise ConfigError(f"{type(self).__name__}.given_frames must be at least 1, got {given_frames}")
        self.encoder = ENCODERS.build(encoder)
        channels = self.encoder.out_channels
        self.matching_head = MATCHING_HEADS.build(matching_head, channels=channels)
        self.decoder = DECODERS.build(decoder, match_channels=self.matching_head.out_channels,
                                      map_channels=self.map_channels(channels), vector_channels=4 * channels,
                                      low_channels=self.encoder.low_channels)
        self.cut = Cut(early=self.encoder.levels[self.encoder.low_level],
                       coarse=Level(self.decoder.in_channels, self.encoder.stride))
        self.labels_in_memory, self.given_frames = labels_in_memory, given_frames
        self.teacher_forcing = False

    @abstractmethod
    def map_channels(self, channels: int) -> int:
        """Channels of the maps that the decoder sees beside the pre-head, of an embedding of ``channels``."""

    @abstractmethod
    def entry(self, state: VideoState, features: PixelFeatures, ids: Tensor, run: FrameRun) -> MemoryEntry:
        """What a frame leaves in the memory.

        Args:
            ids: (B, h, w) int64, the object of each cell, at the size of the embedding.
        """

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Switch from true labels to predictions; called by the training loop."""
        self.teacher_forcing = iteration < self.labels_in_memory * max_iterations

    # Slots --------------------------------------------------------------------------------------------------------

    def rows(self, state: VideoState) -> Rows:
        """Background and objects of the videos that have an object."""
        table = torch.cat([state.active.any(dim=1, keepdim=True), state.active], dim=1)
        return Rows.of_table(table, (BACKGROUND, *state.ids.ids), self.device)

    def slots_of(self, state: VideoState, ids: Tensor) -> Tensor:
        """Object ids of cells, of any shape, as numbers of slots; -1 for cells that are of none."""
        known = {0: 0, **{value: channel for channel, value in enumerate(state.ids, start=1)}}
        table = torch.full((2 + max([*known, *state.ids.retired]),), NOTHING)
        for value, slot in known.items():
            table[1 + value] = slot
        return table.to(ids.device)[1 + ids]

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects. A video that has none left forgets its references."""
        left = [1 + channel for channel, value in enumerate(state.ids) if value not in ids]
        state.drop_objects(list(ids), columns=torch.tensor([0, *left] if left else [], dtype=torch.long))
        empty = [b for b, active in enumerate(state.active.any(dim=1).tolist()) if not active]
        state.objects.drop({(b, BACKGROUND) for b in empty})
        if empty and TOTAL in state.cache:
            state.cache[TOTAL] = state.cache[TOTAL].index_fill(0, torch.tensor(empty, device=self.device), 0)

    # Stages -------------------------------------------------------------------------------------------------------

    def encode_shallow(self, frame: Tensor) -> PixelFeatures:
        """The finer levels of the pyramid."""
        return self.encoder.shallow(frame)

    def encode_deep(self, features: PixelFeatures) -> PixelFeatures:
        """The whole pyramid and the embedding."""
        return self.encoder.deep(features)

    def early(self, features: PixelFeatures) -> Tensor:
        """The fine level of the backbone."""
        return features.pyramid[self.encoder.low_level]

    def row_masks(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """(B, O, H, W) masks of objects -> (R, 1, H, W) masks of slots: background is what no object has."""
        return rows.gather(torch.cat([1 - masks.sum(dim=1, keepdim=True), masks], dim=1))[:, None]

    def certain_rows(self, state: VideoState, masks: Tensor, rows: Rows) -> Tensor:
        """Logits (R, 2, H, W) that say what masks (B, O, H, W) of objects say."""
        masks = self.row_masks(state, masks, rows)
        return torch.cat([clamped_logit(masks), clamped_logit(1 - masks)], dim=1)

    def segment(self, state: VideoState, features: PixelFeatures, run: FrameRun) -> tuple[Tensor, Rows]:
        """As in the base; but masks of training frames whose labels are given are not predicted."""
        rows = self.rows(state)
        if not len(rows) or not self.is_given(state, run):
            return super().segment(state, features, run)
        run.predicted = False
        return self.certain(run.labels, state), rows

    def is_given(self, state: VideoState, run: FrameRun) -> bool:
        """Whether the labels of this frame are given, as in training the first ones are."""
        return run.training and run.labels is not None and state.frame_index < self.given_frames

    def certain(self, labels: Tensor, state: VideoState) -> Tensor:
        """Logits (B, O + 1, H, W) of labels (B, H, W) by channel; of what is void nothing is known."""
        channels = torch.arange(state.num_objects + 1, device=labels.device)[:, None, None]
        nothing = torch.zeros(len(labels), len(channels), *labels.shape[-2:], device=self.device,
                              dtype=next(self.parameters()).dtype)
        never, surely = certain_logits(nothing)
        logits = torch.where(labels[:, None] == channels, surely, never)
        return hide_inactive(torch.where((labels == VOID)[:, None], nothing, logits), state.active)

    def decode_fine(self, state: VideoState, features: PixelFeatures, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits of each slot as foreground and as background, (R, 2, h, w)."""
        return self.decoder(coarse, self.vectors(state, rows), self.early(features), rows)

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """One softmax over background and objects, (B, O + 1, H, W) at the size of the video."""
        if not len(rows):
            nothing = logits.new_zeros(state.batch_size, 1 + state.num_objects, *state.native_size)
            return hide_inactive(full_precision(nothing), state.active)
        joint = joint_logits(rows.scatter(logits), state.active)
        return resize_bilinear(joint, state.native_size, align_corners=self.data_preprocessor.align_corners)

    def feedback(self, state: VideoState, logits: Tensor) -> Tensor:
        """Hard masks (B, O, H, W) at the size of the video."""
        return hard_masks(logits)

    def memorize(self, state: VideoState, features: PixelFeatures, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Remember the embedding of the frame and whose its cells are."""
        if run.last:
            return
        grid = tuple(features.embedding.shape[-2:])
        ids = nearest_labels(self.ids_of(state, masks, run), grid)
        self.sum_up(state, full_precision(features.embedding), ids, run)
        if state.memory.wants(state.frame_index, prompted=run.prompted, last=False):
            state.memory.add(self.entry(state, features, ids, run))

    def ids_of(self, state: VideoState, masks: Tensor, run: FrameRun) -> Tensor:
        """(B, H, W) int64, the object of each pixel: as it was fed back, or in training perhaps the true one."""
        table = torch.tensor([0, *state.ids], device=masks.device)
        taught = run.training and run.labels is not None
        if taught and (run.prompted or self.teacher_forcing or self.is_given(state, run)):
            known = run.labels.masked_fill(run.labels == VOID, 0)
            return table[known].masked_fill(run.labels == VOID, NOTHING)
        return (masks * table[1:, None, None]).sum(dim=1).long()

    # The vector of a slot -----------------------------------------------------------------------------------------

    def sum_up(self, state: VideoState, embedding: Tensor, ids: Tensor, run: FrameRun) -> None:
        """Sums of the embedding inside and outside of each slot: of the previous frame, and over all reference frames.

        Both are sums of their own cells: where there are none, a difference would leave rounding, divided by almost 0.
        """
        rows = self.rows(state)
        cells = torch.cat([embedding, torch.ones_like(embedding[:, :1])], dim=1).flatten(2).transpose(1, 2)
        own = slot_masks(self.slots_of(state, ids), rows.shape[1]).flatten(2)
        sums = rows.gather(torch.stack([own.to(cells) @ cells, (~own).to(cells) @ cells], dim=2))
        state.cache[PREVIOUS] = PreviousFrame(embedding, ids)
        state.objects.write(BEFORE, rows, sums)
        if run.started is None:
            return
        prompted = {b for b, _ in run.started.keys}
        given = rows.select([b in prompted for b, _ in rows.keys])
        if len(given):
            state.objects.write(REFERENCE, given, self.over_references(state, given) + sums[rows.places(given)])
            new = cells.sum(dim=1) * torch.tensor([[b in prompted] for b in range(len(ids))], device=cells.device)
            state.cache[TOTAL] = state.cache.get(TOTAL, 0) + new

    def over_references(self, state: VideoState, rows: Rows) -> Tensor:
        """(R, 2, C + 1) sums over the reference frames so far; all their cells are outside of an object that is new."""
        total = rows.expand(state.cache.get(TOTAL, torch.zeros(state.batch_size, 1, device=self.device)))
        nothing = torch.zeros(2, self.encoder.out_channels + 1, device=total.device, dtype=total.dtype)
        known = state.objects.has(REFERENCE, rows).to(total.device)[:, None, None]
        outside = torch.stack([torch.zeros_like(total), total], dim=1).expand(len(rows), 2, nothing.shape[1])
        return torch.where(known, state.objects.read(REFERENCE, rows, nothing), outside)

    def vectors(self, state: VideoState, rows: Rows) -> Tensor:
        """(R, 4 C): means over references inside and outside, over the previous frame inside and outside."""
        sums = torch.cat([state.objects.read(name, rows) for name in (REFERENCE, BEFORE)], dim=1)
        return (sums[..., :-1] / (sums[..., -1:] + EPSILON)).flatten(1)
