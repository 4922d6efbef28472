"""What reuse gates, and what predicts and translates behind them, must do."""

import pytest
import torch

from vosplug.models.gates import Gate, GateInput
from vosplug.registry import GATES, LAYERS, MATCHING_HEADS
from vosplug.structures import RowStore

from .parts import cases, rows_of

SIZE = (6, 8)


@pytest.mark.parametrize("part", cases(GATES))
def test_gates_answer_a_probability_for_each_row(part):
    gate, store, rows = part.build().eval(), RowStore(), rows_of([[True, True]])
    assert isinstance(gate, Gate)
    early, dissimilarity = torch.randn(1, 4, *SIZE), torch.randn(2, 6, *SIZE)
    gate.remember(store, rows, early)

    def ask(chosen, frame=3):
        inputs = GateInput(rows=rows.select(chosen), frame=frame, features=early * 1.2, store=store,
                           dissimilarity=dissimilarity[torch.tensor(chosen)] if gate.compares else None)
        return gate(inputs)

    with torch.no_grad():
        both = ask([True, True])
        assert both.shape == (2,) and (both >= 0).all() and (both <= 1).all() and torch.equal(both, ask([True, True]))
        assert torch.allclose(ask([False, True]), both[1:], atol=1e-6)  # whoever else is asked about
        drawn = gate.sample(both)
    assert drawn.shape == (2,) and (drawn >= 0).all() and (drawn <= 1).all()


@pytest.mark.parametrize("part", cases(GATES))
def test_gates_hold_nothing_of_a_video(part):
    gate, store = part.build().eval(), RowStore()
    before = {name: x.clone() for name, x in gate.state_dict().items()}
    gate.remember(store, rows_of([[True]]), torch.randn(1, 4, *SIZE))
    names, held = set(vars(gate)), dict(store.held)
    gate.remember(RowStore(), rows_of([[True, True]]), torch.randn(1, 4, *SIZE))
    assert set(vars(gate)) == names and all(torch.equal(x, before[name]) for name, x in gate.state_dict().items())
    assert {name: keys for name, (keys, _) in held.items()} == dict.fromkeys(held, ((0, 1),))
    store.drop({(0, 1)})
    assert not store.held


@pytest.mark.parametrize("part", cases(MATCHING_HEADS, "template"))
def test_templates_are_matched_row_by_row(part):
    head = part.build(feature_channels=5).eval()
    feature, score = torch.randn(3, 5, *SIZE), torch.rand(3, 1, *SIZE)
    with torch.no_grad():
        template = head.template(feature, score)
        found = head(feature.flip(-1), score, template)
        alone = head(feature[1:2].flip(-1), score[1:2], head.template(feature[1:2], score[1:2]))
    assert template.shape[0] == 3 and found.shape == (3, head.out_channels, *SIZE)
    assert torch.allclose(alone[0], found[1], atol=1e-5) and not torch.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("part", cases(LAYERS, "delta"))
def test_deltas_come_at_the_stride_of_the_score(part):
    stride = part.config["stride"]
    out = part.build(in_channels=6)(torch.randn(2, 6, *SIZE))
    assert out.shape == (2, 1, SIZE[0] // stride, SIZE[1] // stride)


@pytest.mark.parametrize("part", cases(LAYERS, "translator"))
def test_translators_keep_the_shape_and_look_at_the_change(part):
    translator = part.build(channels=16).eval()
    feature, delta = torch.randn(2, 16, *SIZE), torch.randn(2, 1, *SIZE, requires_grad=True)
    out = translator(feature, delta)
    assert out.shape == feature.shape
    out.square().sum().backward()
    assert delta.grad.abs().sum() > 0
    assert torch.allclose(translator(feature[1:], delta[1:])[0], out[1], atol=1e-5)
