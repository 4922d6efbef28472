"""SST (Duke et al.: SSTVOS, Sparse Spatiotemporal Transformers for Video Object Segmentation, CVPR 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...registry import SEGMENTORS
from ...structures import Rows, VideoState
from ...utils.errors import ConfigError, did_you_mean
from ..encoders.pixel_embedding import PixelFeatures
from ..frame_run import FrameRun
from ..matching_heads.sst_encoder import Encoded
from ..memories import MemoryEntry
from .slot_base import PREVIOUS, SlotSegmentor, small_model

FEATURES = ("embedding", "encoder", "previous")
ORIGIN = "origin"  # in ``state.cache``: number of the first frame


def small_models() -> list[dict]:
    """Examples: one like the published model, one that keeps keys and values, and one of the other options."""
    head = dict(type="SSTEncoder", heads=2, attentions=[dict(type="LocalAttention", h=3),
                                                        dict(type="StridedAttention", h=2)])
    norm = dict(type="FilterResponseNorm")
    published = small_model(output_stride=8, matching_head=head,
                            memory=dict(type="FrameBank", every=1, max_frames=3, keep_prompts=False))
    other = dict(head, norm=norm, activation=norm, position=dict(type="LearnedPosition"), score="distance",
                 heads_kept="all")
    return [published, dict(published, matching_head=dict(head, causal=True, cache="layers")),
            dict(published, features=FEATURES, matching_head=other,
                 memory=dict(type="FrameBank", every=1, max_frames=3, max_prompts=2))]


@SEGMENTORS.register_module(examples=small_models)
class SST(SlotSegmentor):
    """The current frame attends to the last frames, and their labels say how close it is to each slot.

    The memory is the buffer: frames as :class:`~..matching_heads.SSTEncoder` wants them, with the object of each cell.

    Args:
        features: what the decoder of CFBI sees beside the pre-head: the ``embedding`` of the frame, what the
            ``encoder`` made of it, and as CFBI the embedding of the ``previous`` frame inside and outside of the slot.
        frame_origin: frame numbers of a training clip begin at a number that is drawn from 0 to this one. 0 counts from
            the reference frame; more lets positions in time be learnt that only long videos have.
        options: see :class:`~.slot_base.SlotSegmentor`.
    """

    def __init__(self, preprocessor: dict, encoder: dict, matching_head: dict, memory: dict, decoder: dict,
                 features: Sequence[str] = ("embedding", "encoder"), frame_origin: int = 0,
                 labels_in_memory: float = 0.0, given_frames: int = 1, losses: list[dict] | None = None,
                 init_cfg: dict | None = None):
        if isinstance(frame_origin, bool) or not isinstance(frame_origin, int) or frame_origin < 0:
            raise ConfigError(f"SST.frame_origin must be a whole number of at least 0, got {frame_origin!r}")
        wrong = [name for name in features if name not in FEATURES]
        if wrong or not features or len(set(features)) < len(features):
            hint = did_you_mean(wrong[0], FEATURES) if wrong else ""
            raise ConfigError(f"SST.features must be some of {', '.join(FEATURES)}, got {tuple(features)}.{hint}")
        self.__dict__["features"] = tuple(features)  # before nn.Module's own start, since that asks map_channels
        super().__init__(preprocessor=preprocessor, encoder=encoder, matching_head=matching_head, memory=memory,
                         decoder=decoder, labels_in_memory=labels_in_memory, given_frames=given_frames, losses=losses,
                         init_cfg=init_cfg)
        self.frame_origin = frame_origin

    def init_state(self, batch_size: int = 1, training: bool = False) -> VideoState:
        """As in the base; frames of training clips may be counted from elsewhere."""
        state = super().init_state(batch_size, training)
        drawn = training and self.frame_origin
        state.cache[ORIGIN] = int(torch.randint(self.frame_origin + 1, ())) if drawn else 0
        return state

    def map_channels(self, channels: int) -> int:
        """All features have the channels of the embedding."""
        return channels * (len(self.features) + ("previous" in self.features))

    def decode_coarse(self, state: VideoState, features: PixelFeatures, rows: Rows) -> Tensor:
        """Attend, match all slots; what the decoder sees of ``rows``: (R, C, h, w)."""
        previous = state.cache[PREVIOUS]
        slots = self.slots_of(state, previous.ids)
        encoded = self.encode(state, features, slots, rows.shape[1])
        prehead = self.decoder.prehead(rows.gather(encoded.matches))
        maps = []
        if "embedding" in self.features:
            maps.append(rows.expand(features.embedding))
        if "encoder" in self.features:
            maps.append(rows.expand(encoded.features))
        if "previous" in self.features:
            maps += previous.parted(slots, rows)
        return torch.cat([x.to(prehead) for x in maps] + [prehead], dim=1)

    def encode(self, state: VideoState, features: PixelFeatures, slots: Tensor, count: int) -> Encoded:
        """What the encoder makes of the frame; what it keeps of it waits until the frame is memorised."""
        buffer = list(state.memory)
        labels = [self.slots_of(state, entry["ids"]) for entry in buffer]
        encoded = self.matching_head(features.embedding, buffer, labels, slots, state.frame_index, count,
                                     origin=state.cache[ORIGIN])
        features.kept = encoded.kept
        return encoded

    def attention_costs(self, size: tuple[int, int], frames: int) -> dict[str, object]:
        """Costs of attention on frames (H, W), see :meth:`~..matching_heads.SSTEncoder.costs`."""
        grid = tuple(-(-side // self.encoder.stride) for side in size)
        return self.matching_head.costs(grid, frames)

    def entry(self, state: VideoState, features: PixelFeatures, ids: Tensor, run: FrameRun) -> MemoryEntry:
        """What the encoder wants to know of the frame, and the object of each cell."""
        if features.kept is None:  # nothing was predicted
            features.kept = self.matching_head.keep(features.embedding, list(state.memory), state.frame_index,
                                                    origin=state.cache[ORIGIN])
        ids = self.matching_head.labels_of(ids)
        return MemoryEntry(state.frame_index, {**features.kept, "ids": ids.flatten(1)},
                           valid=self.rows(state).table(), grid=tuple(ids.shape[-2:]), prompted=run.prompted)
