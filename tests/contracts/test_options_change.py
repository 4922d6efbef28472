"""Every option of a part of a network changes something that can be seen, or other values of it are refused."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

from vosplug import registry
from vosplug.models.backbones.sparse_convs.surgery import make_sparse
from vosplug.registry import KINDS, REGISTRIES, SEGMENTORS, VIS_SEGMENTORS
from vosplug.utils.errors import ConfigError

from . import probes_layers, probes_vis  # noqa: F401  they add their own
from .helpers import build_model, sparse_options
from .options import Compared, has_effect, options_of
from .parts import IN_CHANNELS, OFFERED, Part, examples, is_ours, network_kinds
from .probes import PROBES

# What cannot be seen on small inputs on a CPU, and why.
UNSEEN = {
    "DeformableMatching.stride": "handed to the head inside, of which ours do not ask",
    "DeformableMatching.value_channels": "handed to the head inside, of which ours do not ask",
    "EfficientVIS.checkpointing": "memory of the backward pass",
    "EfficientVIS.clip_length": "sessions read it",
    "EfficientVIS.frame_chunk": "memory",
    "GatedDeformableAttention.relative_bias": "the block reads it",
    "GlobalLocalMatching.max_elements": "memory",
    "PyramidRoIAlign.rois_per_chunk": "memory",
    "CollaborativeEnsembler.slots_per_pass": "memory",
    "ReflectingPreprocessor.non_blocking": "CUDA", "ResizingPreprocessor.non_blocking": "CUDA",
    "TargetModel.cache_dir": "the segmentor reads and writes it",
    "VISPreprocessor.non_blocking": "CUDA", "VOSPreprocessor.non_blocking": "CUDA",
}
# Kinds, roles and registries that nobody asks here, and why; tests/contracts/test_options_are_read.py reads them all.
NOT_COVERED = {
    ("frame policy", ""): "no options", ("task", ""): "no options", ("task", "tracklets"): "no options",
    ("task", "distillation"): "needs two models and a training",
    **dict.fromkeys(((name, "") for name in REGISTRIES), "no network: test_data_options_change.py"),
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Options that name a folder make one."""
    monkeypatch.chdir(tmp_path)


def parts_of_networks() -> list:
    """Pytest parameters: kind and name of every part that is asked; whole methods take a minute or two together."""
    return [pytest.param(kind, name, id=f"{kind.name}-{name}",
                         marks=[pytest.mark.slow] if kind in (SEGMENTORS, VIS_SEGMENTORS) else [])
            for kind in network_kinds() for name in kind.members()
            if kind.examples(name) and (kind.name, kind.role(name)) in PROBES]


def compared(part: Part) -> tuple[dict, Compared]:
    """Options of an example, those that its builder gives among them, and what compares it with others."""
    kind, role, offered = part.kind, part.kind.role(part.name), dict(OFFERED.get(part.kind, {}))
    if kind is registry.LAYERS and role in IN_CHANNELS:
        offered["in_channels"] = IN_CHANNELS[role]
    if role == "propagation":
        offered["key_channels"] = 16
    return {**offered, **part.config}, Compared(
        lambda changes: seeded(lambda: kind.build({**part.config, **changes}, **offered)), PROBES[kind.name, role])


def seeded(build: Callable[[], Any]) -> Any:
    """What is built after the same seed."""
    torch.manual_seed(0)
    return build()


@pytest.mark.parametrize("kind, name", parts_of_networks())
def test_every_option_changes_something_or_is_refused(kind, name):
    left = {option.name: option for option in options_of(kind.members()[name]) if f"{name}.{option.name}" not in UNSEEN}
    for part in (part for part in examples(kind, kind.role(name)) if part.name == name):
        config, both = compared(part)
        left = {key: option for key, option in left.items() if not has_effect(option, config, both)}
        if not left:
            return
    assert not left, f"{name}: no other value of {', '.join(left)} changes anything in any of its examples"


@pytest.mark.slow
def test_every_option_of_sparsity_changes_something_or_is_refused():
    base = sparse_options("TripleSparseConv", "Mixed")
    both = Compared(lambda changes: build_model(SEGMENTORS.example("STCN", sparse={**base, **changes})),
                    PROBES["segmentor", ""])
    options = list(inspect.signature(make_sparse).parameters.values())[1:]
    without = [o.name for o in options if o.name != "dense_kernels" and not has_effect(o, base, both)]  # it is speed
    assert options and not without


def test_what_is_not_asked_is_named():
    """The tables are of what exists."""
    known = {f"{name}.{option.name}" for kind in network_kinds() for name, cls in kind.members().items()
             for option in options_of(cls)}
    assert set(UNSEEN) <= known, "no such option any more"
    roles = {(kind.name, kind.role(name)) for kind in KINDS.values() for name, cls in kind.members().items()
             if is_ours(cls)} | {(name, "") for name in REGISTRIES}
    assert roles - set(PROBES) == set(NOT_COVERED) and len(UNSEEN) < 0.05 * len(known)


class Lazy(torch.nn.Module):
    """It reads one of its options."""

    def __init__(self, used: float = 1.0, ignored: float = 1.0, checked: float | None = None):
        super().__init__()
        if checked is not None:
            raise ConfigError("checked must be None")
        self.used, self.ignored = used, ignored

    def forward(self):
        return torch.tensor(self.used)


def test_an_option_without_effect_is_noticed():
    both = Compared(lambda changes: Lazy(**changes), lambda part: part())
    assert [has_effect(option, {}, both) for option in options_of(Lazy)] == [True, False, True]
