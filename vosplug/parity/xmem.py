"""Recomputing the golden outputs of XMem."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..converters import XMemConverter
from ..models.memories import LongTermMemory, LongTermMemoryState, MemoryEntry, Similarity
from ..registry import PARITY_RUNS, SEGMENTORS
from ..structures import Rows
from ..utils.checkpoint import load_weights
from ..utils.configs import load_config
from ..utils.errors import CheckpointError
from .stcn import STCNParity

BUDGET = ("max_mid_term_frames", "min_mid_term_frames", "max_long_term_elements", "num_prototypes")


@dataclass
class Record:
    """What consolidations and removals of a long-term memory did.

    Attributes:
        removals: tokens of the long-term memory before and after.
        consolidations: tensors by name.
    """

    removals: list[tuple[int, int]] = field(default_factory=list)
    consolidations: list[dict[str, Tensor]] = field(default_factory=list)


class RecordedMemory(LongTermMemory):
    """A long-term memory that writes a record."""

    def __init__(self, record: Record, **options):
        super().__init__(**options)
        self.record = record

    def new(self, training: bool = False, similarity: Similarity | None = None) -> LongTermMemoryState:
        return RecordedMemoryState(self, similarity)


class RecordedMemoryState(LongTermMemoryState):
    """The memory of one video."""

    def forget(self) -> None:
        before = self.long_term_tokens
        super().forget()
        if self.long_term_tokens != before:
            self.policy.record.removals.append((before, self.long_term_tokens))

    def choose_prototypes(self, usage: Tensor) -> Tensor:
        index = super().choose_prototypes(usage)
        self.policy.record.consolidations.append({"prototype_index": index.clone(), "usage": usage.clone()})
        return index

    def consolidate(self, candidates: list[MemoryEntry]) -> list[MemoryEntry]:
        parts = super().consolidate(candidates)
        if len(parts) != 1:
            raise ValueError("objects of a manifest start together, so that prototypes form one entry")
        self.policy.record.consolidations[-1].update(
            prototype_key=parts[0]["key"][0, ::4], prototype_shrinkage=parts[0]["shrinkage"][0, 0],
            prototype_value=parts[0]["value"][0, :, ::32])
        return parts


@PARITY_RUNS.register_module(name="xmem")
class XMemParity(STCNParity):
    """Runs ``configs/xmem_r50.py`` on the clip of a manifest, with its weights, in float64.

    Without ``enable_long_term`` of the source every frame that is written stays: that is a frame bank without a budget.
    ``enable_long_term_count_usage`` has no counterpart: usage is always counted, which matters only when long-term
    tokens are removed.
    """

    def build(self) -> nn.Module:
        """The model with the weights of the manifest, loaded strictly."""
        options = self.manifest.hyperparameters["config"]
        cfg = load_config(XMemConverter.model_config).model
        memory = dict(type="FrameBank", every=options["mem_every"], since="kept", max_tokens=None)
        if options["enable_long_term"]:
            memory = dict(type="LongTermMemory", every=options["mem_every"],
                          **{name: options[name] for name in BUDGET if name in options})
        self.manifest.adapt(cfg, {"matching_head.top_k": options["top_k"],
                                  "deep_update_every": options["deep_update_every"], "memory": memory})
        model = SEGMENTORS.build(cfg)
        self.record = Record()
        if options["enable_long_term"]:
            model.memory = RecordedMemory(self.record, **{k: v for k, v in memory.items() if k != "type"})
        conversion = XMemConverter().convert({k: torch.from_numpy(v) for k, v in self.manifest.weights().items()})
        if conversion.unknown or conversion.dropped:
            raise CheckpointError(f"{self.manifest.path}: not all weights are used: {conversion.coverage()}")
        load_weights(model, conversion.state)
        return model.to(self.dtype).eval()

    @torch.no_grad()
    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        model = self.build()
        self.watch(model)
        self.sensory: list[Tensor] = []
        self.sizes: list[tuple[int, int]] = []
        prob, _ = self.propagate(model)
        preprocessor = model.data_preprocessor
        prob = preprocessor.restore(prob, preprocessor.geometry(self.manifest.label().shape))
        frame0, frame1 = self.seen["features"][:2]
        outputs = {
            "prob": prob[:, :, ::4, ::4],
            "argmax": prob.argmax(dim=0)[:, ::4, ::4],
            "key_frame1": frame1.key[0],
            "selection_frame1": frame1.selection[0],
            "shrinkage_frame0": frame0.shrinkage[0],
            "f16_frame1": frame1.pyramid["c4"][0, ::32],
            "f8_frame1": frame1.pyramid["c3"][0, ::32, ::2, ::2],
            "f4_frame1": frame1.pyramid["c2"][0, ::16, ::4, ::4],
            "readout_frame1": self.seen["readout"][0][:, ::16],
            "readout_last": self.seen["readout"][-1][:, ::16],
            "hidden_frame0": self.sensory[0][:, ::4],
            "hidden_frame1": self.sensory[1][:, ::4],
            "hidden_before_last": self.sensory[-2][:, ::4],
            "value_frame0": self.seen["value"][0][:, ::16],
            "work_memory_size": torch.tensor([work for work, _ in self.sizes]),
            "long_memory_size": torch.tensor([long for _, long in self.sizes]),
            "removals": torch.tensor(self.record.removals, dtype=torch.int64).reshape(-1, 2),
        }
        for number, parts in enumerate(self.record.consolidations):
            outputs.update({f"consolidation{number}_{name}": value for name, value in parts.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    def after_frame(self, state) -> None:
        """Keep the sensory memory (O, Ch, h, w) and the sizes of working and long-term memory."""
        rows = Rows.of_table(state.active, state.ids.ids)
        self.sensory.append(state.objects.read("sensory", rows).clone())
        long = getattr(state.memory, "long_term_tokens", 0)
        self.sizes.append((state.memory.tokens - long, long))
