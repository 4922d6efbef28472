"""What STCN and XMem share: keys of images are matched, values of masks are read."""

from torch import Tensor

from ...registry import DECODERS, MATCHING_HEADS
from ...structures import Level, Rows, VideoState
from ..encoders import SHALLOW, FrameFeatures, build_encoders
from ..memories import MemoryEntry, MemoryState
from .base import Cut, VOSSegmentor
from .sparse_parts import SPARSE_PARTS


class KeyValueSegmentor(VOSSegmentor):
    """Base of methods with a key encoder that sees frames, and a value encoder that sees frames with masks."""

    sparse_parts = SPARSE_PARTS

    def build_parts(self, key_encoder: dict, value_encoder: dict, matching_head: dict, decoder: dict,
                    beside: int = 0) -> None:
        """Build the networks.

        Args:
            key_encoder, value_encoder: configs (kind ``encoder``).
            matching_head: config (kind ``matching head``).
            decoder: config (kind ``decoder``).
            beside: channels that the decoder gets beside the read-out.
        """
        self.key_encoder, self.value_encoder = build_encoders(key_encoder, value_encoder)
        keys, values = self.key_encoder, self.value_encoder
        self.matching_head = MATCHING_HEADS.build(matching_head, key_channels=keys.key_channels,
                                                  value_channels=values.out_channels, stride=keys.stride)
        readout = self.matching_head.out_channels or values.out_channels
        self.decoder = DECODERS.build(decoder, value_channels=readout + beside, context_channels=keys.context_channels,
                                      levels=keys.levels, stride=keys.stride)
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
        """Keys with what belongs to them, context and the whole pyramid."""
        return self.key_encoder.deep(features)


def memory_entry(state: VideoState, rows: Rows, value: Tensor, prompted: bool,
                 **maps: Tensor | None) -> MemoryEntry:
    """What a frame leaves in the memory: the values (R, Cv, h, w) of ``rows``, and maps (B, C, h, w) of the frame."""
    return MemoryEntry(
        frame=state.frame_index, frame_tensors={name: x.flatten(2) for name, x in maps.items() if x is not None},
        object_tensors={"value": rows.scatter(value).flatten(3)}, valid=rows.table(), grid=tuple(value.shape[-2:]),
        prompted=prompted)
