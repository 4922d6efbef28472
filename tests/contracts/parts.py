"""Small instances of all registered parts, by the examples that they bring, and things to run them on."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from vosplug import registry
from vosplug.models.memories import Memory, MemoryEntry, MemoryState
from vosplug.registry import Kind
from vosplug.structures import ClipRecord, FrameRecord, Level, Rows

LEVELS = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(12, 16)}
STRIDES = tuple(level.stride for level in LEVELS.values())
FRAME = (32, 48)
CK, CV, CELLS = 4, 5, (2, 3)  # of the memories below

# What builders of a kind offer; a part gets what its signature names.
OFFERED: dict[Kind, dict[str, Any]] = {
    registry.BACKBONES: dict(in_channels=3),
    registry.ENCODERS: dict(base_channels=11),
    registry.SPARSE_CONVS: dict(in_channels=4, out_channels=6, kernel_size=3, padding=1),
    registry.GATES: dict(in_channels=6),
    registry.MATCHING_HEADS: dict(key_channels=CK, value_channels=CV, stride=16, feature_channels=5, channels=8,
                                  mask_channels=6),
    registry.DECODERS: dict(value_channels=CV, context_channels=3, levels=LEVELS, stride=16, match_channels=5,
                            map_channels=6, vector_channels=9, low_channels=3, deep_level="c4", low_level="c2",
                            attended_channels=8, mask_channels=6),
    registry.LAYERS: dict(in_levels=LEVELS, value_channels=3, base_channels=4, hidden_channels=3, max_objects=3,
                          channels=16, stride=8),
    registry.NECKS: dict(in_levels=LEVELS),
    registry.ROI_EXTRACTORS: dict(strides=STRIDES, size=5),
    registry.QUERIES: dict(channels=8), registry.QUERY_ATTENTIONS: dict(channels=8),
    registry.DYNAMIC_CONVS: dict(channels=8), registry.TRACKLET_HEADS: dict(channels=8, num_classes=3),
}
IN_CHANNELS = {"update": 5, "update of scales": (5, 4), "delta": 6}  # of layers, by their role
PROTOCOLS: set[tuple[str, str]] = set()  # (kind, role) of which a module here tests what they must do


@dataclass(frozen=True)
class Part:
    """An example of a registered part.

    Attributes:
        kind, name: under which it is registered.
        number: of the example.
    """

    kind: Kind
    name: str
    number: int

    @property
    def config(self) -> dict:
        """Its config."""
        return self.kind.example(self.name, self.number)

    def build(self, **given) -> Any:
        """Build it with seeded weights, from what its builder offers and ``given``; the config is not changed."""
        torch.manual_seed(0)
        config, offered = self.config, dict(OFFERED.get(self.kind, {}))
        if self.kind is registry.LAYERS and self.kind.role(self.name) in IN_CHANNELS:
            offered["in_channels"] = IN_CHANNELS[self.kind.role(self.name)]
        before = copy.deepcopy(config)
        built = self.kind.build(config, **{**offered, **given})
        assert config == before
        return built


def network_kinds() -> list[Kind]:
    """The kinds whose parts are parts of networks."""
    return [kind for kind in registry.KINDS.values() if kind.registry is registry.MODELS]


def is_ours(cls: type) -> bool:
    """Whether a class is of the package: plugins, and other tests, register more."""
    return cls.__module__.startswith("vosplug.")


def examples(kind: Kind, role: str | None = None, of: type = object) -> Iterator[Part]:
    """Examples of all parts of a kind, of one role (None: any) and one base class; a plugin's among them."""
    for name, cls in kind.members().items():
        if role in (None, kind.role(name)) and issubclass(cls, of):
            for number in range(len(kind.examples(name))):
                yield Part(kind, name, number)


def cases(kind: Kind, role: str | None = "", of: type = object) -> list:
    """Pytest parameters of :func:`examples`: what is tested with them is the protocol of the role."""
    if role is not None and of is object:
        PROTOCOLS.add((kind.name, role))
    return [pytest.param(part, id=f"{part.name}-{part.number}") for part in examples(kind, role, of)]


def pyramid_of(batch: int, levels: dict[str, Level] | None = None,
               frame: tuple[int, int] = FRAME) -> dict[str, torch.Tensor]:
    """Random maps by level."""
    return {name: torch.randn(batch, level.channels, *(-(-side // level.stride) for side in frame))
            for name, level in (levels or LEVELS).items()}


def rows_of(exists: list[list[bool]]) -> Rows:
    """Rows of a (B, O) table."""
    return Rows.of_table(torch.tensor(exists), range(1, 1 + len(exists[0])))


def entry_of(frame: int, objects: int = 2, prompted: bool = False, seed: int = 1) -> MemoryEntry:
    """A memory entry of random tensors."""
    draw, tokens = torch.Generator().manual_seed(100 * seed + frame), CELLS[0] * CELLS[1]
    return MemoryEntry(frame, {"key": torch.randn(1, CK, tokens, generator=draw)},
                       {"value": torch.randn(1, objects, CV, tokens, generator=draw)},
                       valid=torch.ones(1, objects, dtype=torch.bool), grid=CELLS, prompted=prompted)


def memory_of(policy: Memory, frames: int = 3, objects: int = 2, training: bool = False,
              head: torch.nn.Module | None = None) -> MemoryState:
    """A memory to which entries were offered, as a segmentor does that has a head."""
    head = head or registry.MATCHING_HEADS.build(dict(type="L2Matching"))
    memory = policy.new(training=training, similarity=head.similarity_of)
    for frame in range(frames):
        if memory.wants(frame, prompted=frame == 0, last=False):
            memory.add(entry_of(frame, objects, prompted=frame == 0))
    return memory


def record_of(logits: torch.Tensor, labels: torch.Tensor, notes: tuple | list = ()) -> ClipRecord:
    """A clip of one frame that was predicted."""
    known = torch.ones(len(logits), logits.shape[1] - 1, dtype=torch.bool)
    return ClipRecord([FrameRecord(1, logits, labels, known, notes=list(notes))])
