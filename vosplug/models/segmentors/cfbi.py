"""CFBI (Yang, Wei, Yang: Collaborative Video Object Segmentation by Foreground-Background Integration, ECCV 2020)."""

import torch
from torch import Tensor

from ...registry import SEGMENTORS
from ...structures import Rows, VideoState
from ..encoders.pixel_embedding import PixelFeatures
from ..frame_run import FrameRun
from ..memories import MemoryEntry
from .slot_base import NOTHING, PREVIOUS, SlotSegmentor, small_model


@SEGMENTORS.register_module(examples=lambda: [small_model(
    output_stride=16, matching_head=dict(type="GlobalLocalMatching", windows=(4, 2)),
    memory=dict(type="FrameBank", every=None, train_every=None, max_tokens=None, max_frames=16))])
class CFBI(SlotSegmentor):
    """Every slot is matched with all frames whose masks were given, and with the surroundings in the previous frame.

    The memory holds the former; the latter is the state's. Args: see :class:`~.slot_base.SlotSegmentor`.
    """

    def map_channels(self, channels: int) -> int:
        """The embedding of the frame, and that of the previous frame inside and outside of the slot."""
        return 3 * channels

    def decode_coarse(self, state: VideoState, features: PixelFeatures, rows: Rows) -> Tensor:
        """Match all slots; what the decoder sees of ``rows``: (R, C, h, w)."""
        previous = state.cache[PREVIOUS]
        slots = self.slots_of(state, previous.ids)
        references = [(entry["embedding"], self.slots_of(state, entry["reference"])) for entry in state.memory]
        matches = self.matching_head(features.embedding, references, previous.embedding, slots, rows.shape[1])
        prehead = self.decoder.prehead(rows.gather(matches))
        maps = [rows.expand(features.embedding), *previous.parted(slots, rows)]
        return torch.cat([x.to(prehead) for x in maps] + [prehead], dim=1)

    def entry(self, state: VideoState, features: PixelFeatures, ids: Tensor, run: FrameRun) -> MemoryEntry:
        """Embedding and the objects of cells; of videos whose masks were not given at this frame no cell counts."""
        given = {b for b, _ in run.started.keys} if run.started is not None else set()
        others = torch.tensor([b not in given for b in range(len(ids))], device=ids.device)
        tokens = features.embedding.flatten(2).transpose(1, 2).contiguous().transpose(1, 2)
        return MemoryEntry(
            state.frame_index, {"embedding": tokens, "reference": ids.masked_fill(others[:, None, None],
                                                                                 NOTHING).flatten(1)},
            valid=self.rows(state).table(), grid=tuple(ids.shape[-2:]), prompted=run.prompted)
