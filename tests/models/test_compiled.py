"""Compiled stages: what is refused, what is shared, and what a compiler that fails looks like."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vosplug.cli import benchmark
from vosplug.inference.session import new_session
from vosplug.models import compiled
from vosplug.models.compiled import CompiledStages, owned, stage, tensors_of
from vosplug.registry import SEGMENTORS
from vosplug.utils.errors import InputError

IMAGE = np.zeros((48, 64, 3), np.uint8)
PROMPT = np.zeros((48, 64), np.uint8)
PROMPT[10:30, 10:40] = 1


@dataclass
class Features:
    levels: dict
    parts: list = field(default_factory=list)
    context: Tensor | None = None


@dataclass(frozen=True)
class Fixed:
    value: Tensor


def test_unknown_compilers_are_refused_with_the_list():
    with pytest.raises(InputError, match="compile must be one of default, .* 'eagre'.*Did you mean 'eager'"):
        CompiledStages("eagre", nn.Module())


def test_methods_are_as_written_outside_of_compiled_inference():
    method = nn.Identity().forward
    assert stage(method) is method


def test_what_is_new_is_copied_in_place_and_the_rest_is_not():
    old, new = torch.zeros(2), torch.ones(2)
    features = Features({"c2": old, "c3": new}, [new, (new, Fixed(new))])
    known = {id(old)}
    assert owned(features, known) is features
    assert features.levels["c2"] is old and features.context is None
    copies = [features.levels["c3"], features.parts[0], features.parts[1][0], features.parts[1][1].value]
    assert all(copied is not new and torch.equal(copied, new) for copied in copies)
    assert len(list(tensors_of(features))) == 5


def test_sessions_of_a_model_share_graphs_and_a_prepared_one_does_not_break_them(monkeypatch):
    graphs = []
    monkeypatch.setitem(compiled.COMPILERS, "eager", {"backend": lambda graph, inputs: graphs.append(graph) or graph,
                                                      "fullgraph": True})
    model = SEGMENTORS.build(SEGMENTORS.example("STCN"))
    new_session(model).predict(IMAGE, PROMPT)  # its convolutions run on packed weights
    counts = []
    for _ in range(2):
        session = new_session(model, compile="eager")
        assert not session.prepared
        for t in range(3):
            session.predict(IMAGE, PROMPT if t == 0 else None)
        counts.append(len(graphs))
    assert counts[0] == counts[1] >= 2


def test_a_compiler_that_fails_is_one_line(monkeypatch):
    def fails(graph, inputs):
        raise OSError("no compiler\nfound")

    monkeypatch.setitem(compiled.COMPILERS, "eager", {"backend": fails})
    torch._dynamo.reset()
    session = new_session(SEGMENTORS.build(SEGMENTORS.example("STCN")), compile="eager")
    with pytest.raises(InputError) as caught:
        session.predict(IMAGE, PROMPT)
    assert "\n" not in str(caught.value)
    assert "encode_shallow cannot be compiled here" in str(caught.value) and "no compiler" in str(caught.value)


def test_stages_of_compiled_models_cannot_be_timed(capsys):
    options = ["stcn_small", "--stages", "--compile", "eager", "--size", "48", "64", "--frames", "2", "--warm-up", "1"]
    assert benchmark.main(options) == 2
    assert "compiled stages cannot be looked into" in capsys.readouterr().err


@pytest.mark.slow
def test_the_default_compiler_agrees_to_rounding():
    model = SEGMENTORS.build(SEGMENTORS.example("STCN")).eval()
    sessions = [new_session(model, compile="default"), new_session(model, prepare=False)]
    for t in range(3):
        ours, plain = (session.predict(IMAGE, PROMPT if t == 0 else None).prob for session in sessions)
        assert (ours - plain).abs().max() < 1e-4
