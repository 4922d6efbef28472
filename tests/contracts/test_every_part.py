"""What all parts of networks have in common, whatever they do."""

import copy
import importlib
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from vosplug import registry
from vosplug.utils.errors import ConfigError

from .parts import PROTOCOLS, cases, is_ours, network_kinds

EVERY = [case for kind in network_kinds() for case in cases(kind, role=None)]


def ours():
    """(kind, name, class) of the parts of the package."""
    return [(kind, name, cls) for kind in network_kinds() for name, cls in kind.members().items() if is_ours(cls)]


def test_every_part_is_documented_and_brings_an_example():
    assert len(ours()) > 40
    lacking = [f"{kind.name} {name}" for kind, name, _ in ours() if not kind.examples(name)]
    assert not lacking, f"register with examples=[...]: {', '.join(lacking)}"
    silent = [name for _, name, cls in ours() if not (vars(cls).get("__doc__") or "").strip()]
    assert not silent, f"without a docstring: {', '.join(silent)}"


def test_what_every_part_must_do_is_tested(root):
    """By the protocol of its role here; a part whose role no other one has may be tested by the test of its file."""
    for path in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"tests.contracts.{path.stem}")
    assert len(PROTOCOLS) > 20
    lacking = []
    for kind, name, cls in ours():
        file = Path(inspect.getfile(cls)).relative_to(root / "vosplug")
        own = root / "tests" / file.parent / f"test_{file.name}"
        unique = sum(kind.role(other) == kind.role(name) for other in kind.members()) == 1
        if (kind.name, kind.role(name)) not in PROTOCOLS and not (unique and own.is_file()):
            lacking.append(f"{kind.name} {name} (role {kind.role(name)!r}, no {own.relative_to(root)})")
    assert not lacking, "nothing tests " + ", ".join(lacking)


@pytest.mark.parametrize("part", EVERY)
def test_examples_build_and_unknown_options_are_refused(part):
    built = part.build()
    assert isinstance(built, part.kind.members()[part.name])
    with pytest.raises(ConfigError, match=f"{part.name}.*'no_such_option'"):
        part.kind.build({**part.config, "no_such_option": 1})


@pytest.mark.parametrize("part", EVERY)
def test_parts_are_alike_after_the_same_seed_and_can_be_copied(part):
    one, other = part.build(), part.build()
    if isinstance(one, nn.Module):
        other.load_state_dict(one.state_dict())
        for again in (part.build(), copy.deepcopy(one)):
            found = again.state_dict()
            assert found.keys() == one.state_dict().keys()
            assert all(torch.equal(value, found[name]) for name, value in one.state_dict().items())
            assert {n: p.requires_grad for n, p in again.named_parameters()} == {
                n: p.requires_grad for n, p in one.named_parameters()}
    else:
        assert type(copy.deepcopy(one)) is type(other)


def test_kinds_know_what_their_parts_bring():
    heads = registry.MATCHING_HEADS
    first, second, *_ = heads.examples("L2Matching")
    assert first == dict(type="L2Matching") and second == dict(type="L2Matching", top_k=3)
    assert heads.example("L2Matching", 1, top_k=5) == dict(type="L2Matching", top_k=5)
    first["top_k"] = 9
    assert "top_k" not in heads.example("L2Matching")
    assert heads.role("L2Matching") == "" and registry.LAYERS.role("LocalityPrior") == "prior"
