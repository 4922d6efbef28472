"""Reuse gates, one by one, and the layers behind them."""

import pytest
import torch

from vosplug.models.gates import ChangeGate, GateInput, RandomGate, ReuseGate, ScheduledGate
from vosplug.models.layers import DeltaGenerator, RefineTranslator
from vosplug.models.matching_heads import TemplateMatching
from vosplug.registry import GATES, load_plugin
from vosplug.structures import Rows, RowStore
from vosplug.utils.errors import ConfigError, InputError
from vosplug.utils.seeds import generator_of

ROWS = Rows.of_table(torch.ones(1, 2, dtype=torch.bool), (3, 8))


def inputs(frame=1, features=None, store=None, dissimilarity=None):
    features = torch.zeros(1, 4, 9, 11) if features is None else features
    return GateInput(ROWS, frame, features, store or RowStore(), dissimilarity)


def test_the_four_gates_are_listed():
    assert {"ReuseGate", "ScheduledGate", "RandomGate", "ChangeGate"} <= set(GATES.members())


@pytest.mark.parametrize("outputs", [1, 2])
def test_initial_rate_is_that_of_a_zero_input_of_the_last_convolution(outputs):
    gate = ReuseGate(in_channels=8, outputs=outputs, initial_rate=0.15).eval()
    gate.conv1.weight.data.zero_()
    gate.conv1.bias.data.zero_()
    gate.norm.bias.data.zero_()
    p = gate(inputs(dissimilarity=torch.randn(2, 8, 30, 40)))
    assert p.shape == (2,) and p.tolist() == pytest.approx([0.15, 0.15], abs=1e-6)


@pytest.mark.parametrize("size", [(60, 107), (7, 7), (3, 5), (1, 1)])
def test_learnt_gate_takes_any_size_and_pools_as_published(size):
    gate = ReuseGate(in_channels=8).eval()
    x = torch.randn(2, 8, *size)
    p = gate(inputs(dissimilarity=x))
    pooled = torch.nn.functional.adaptive_max_pool2d(x, 7)
    pooled = torch.nn.functional.adaptive_max_pool2d(gate.norm(gate.conv1(pooled)), 3)
    logits = gate.conv2(pooled)[:, :, 0, 0]
    assert torch.allclose(p, (logits[:, 0] - logits[:, 1]).sigmoid(), atol=1e-6)


def test_noise_is_that_of_gumbel_and_absent_by_default():
    p = torch.full((20_000,), 0.3)
    assert torch.equal(ReuseGate(8).sample(p), p)
    torch.manual_seed(0)
    assert (ReuseGate(8, noise="gumbel").sample(p) > 0.5).float().mean() == pytest.approx(0.3, abs=0.01)


def test_schedules():
    every = ScheduledGate(every=3)
    assert [every(inputs(frame)).tolist() for frame in range(1, 5)] == [[1, 1], [1, 1], [0, 0], [1, 1]]
    rate = ScheduledGate(rate=0.475)
    assert sum(float(rate(inputs(frame))[0]) for frame in range(1, 401)) == 190
    assert not any(float(ScheduledGate(rate=0.0)(inputs(f))[0]) for f in range(1, 9))
    assert all(float(ScheduledGate(rate=1.0)(inputs(f))[0]) for f in range(1, 9))
    table = ScheduledGate(table={3: [0, 0.7], 8: [0, 0.2, 1.0]})
    assert table(inputs(1)).tolist() == [0.7, 0.2]
    with pytest.raises(InputError, match="only 2 entries for object 3, but frame 2"):
        table(inputs(2))
    with pytest.raises(InputError, match="no entry for object 8"):
        ScheduledGate(table={3: [0, 1]})(inputs(1))


def test_a_rate_is_kept_frame_by_frame():
    """0.995, 1.99, 2.985, ...: a reused frame whenever the whole number rises."""
    gate = ScheduledGate(rate=0.995)
    assert [gate.value(1, frame) for frame in range(1, 6)] == [0, 1, 1, 1, 1]
    third = ScheduledGate(rate=1 / 3)
    assert [third.value(1, frame) for frame in range(1, 7)] == [0, 0, 1, 0, 0, 1]


def test_a_random_gate_draws_by_seed_then_frame_then_row():
    draws = [generator_of(7, 3, 0, name).random() for name in (3, 8)]
    between = sum(draws) / 2
    found = RandomGate(rate=between, seed=7)(inputs(3)).tolist()
    assert found == [float(draw < between) for draw in draws] and set(found) == {0, 1}
    rates = [r / 20 for r in range(1, 20)]
    for frame in range(1, 6):
        draws = [generator_of(7, frame, 0, name).random() for name in (3, 8)]
        assert [RandomGate(rate=r, seed=7)(inputs(frame)).tolist() for r in rates] == [
            [float(draw < r) for draw in draws] for r in rates]


def test_random_gate_depends_on_seed_frame_and_object_alone():
    gate = RandomGate(rate=0.4, seed=2)
    first = [gate(inputs(frame)).tolist() for frame in range(1, 200)]
    torch.rand(3)
    assert first == [gate(inputs(frame)).tolist() for frame in range(1, 200)]
    assert sum(map(sum, first)) / 398 == pytest.approx(0.4, abs=0.06) and any(a != b for a, b in first)
    assert first != [RandomGate(rate=0.4, seed=3)(inputs(frame)).tolist() for frame in range(1, 200)]


def test_change_gate_looks_at_the_change_since_the_last_full_frame():
    gate, store = ChangeGate(), RowStore()
    features = torch.rand(1, 4, 9, 11) + 1
    gate.remember(store, ROWS, features)
    same, other = gate(inputs(features=features, store=store)), gate(inputs(features=features * 1.1, store=store))
    assert same.tolist() == [1, 1] and other.tolist() == pytest.approx([0.9048, 0.9048], abs=1e-3)
    gate.remember(store, ROWS.select([True, False]), features * 1.1)
    assert gate(inputs(features=features * 1.1, store=store)).tolist() == pytest.approx([1.0, 0.9048], abs=1e-3)


@pytest.mark.parametrize("build, message", [
    (lambda: ReuseGate(8, outputs=3), "outputs must be 1 or 2"),
    (lambda: ReuseGate(8, initial_rate=1.0), "initial_rate must lie"),
    (lambda: ReuseGate(8, noise="gauss"), "noise must be one of"), (lambda: ScheduledGate(), "exactly one of"),
    (lambda: ScheduledGate(every=2, rate=0.5), "exactly one of"), (lambda: ScheduledGate(every=0), "at least 1"),
    (lambda: ScheduledGate(rate=2.0), "rate must lie"), (lambda: RandomGate(rate=-1), "rate must lie"),
    (lambda: ChangeGate(scale=0), "scale must be positive"),
    (lambda: TemplateMatching(8, key_channels=6), "multiples of 4"),
    (lambda: RefineTranslator(8, hidden=8), "hidden must lie between")])
def test_bad_options(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_template_is_a_softmax_over_keys_and_is_applied_to_keys():
    head = TemplateMatching(8, key_channels=12, template_channels=4, channels=5).eval()
    feature, score = torch.randn(2, 8, 9, 11), torch.rand(2, 1, 9, 11)
    template = head.template(feature, score)
    assert template.shape == (2, 4, 12) and torch.allclose(template.sum(dim=2), torch.ones(2, 4))
    x = torch.cat([feature, score], dim=1)
    key, value = head.make_key(x).flatten(2), head.make_value(x).flatten(2)
    assert torch.allclose(template, (value @ key.transpose(1, 2) / 99 ** 0.5).softmax(dim=2), atol=1e-6)
    assert head(feature, score, template).shape == (2, 5, 9, 11)


def test_published_parameters_of_the_parts():
    def count(module):
        return sum(p.numel() for p in module.parameters())
    head = TemplateMatching(128)
    made = count(head.make_key) + count(head.make_value)
    assert (count(head) - made, made) == (50_752, 29_568)
    assert (count(ReuseGate(64)), count(DeltaGenerator(64)), count(RefineTranslator(64))) == (9_554, 577, 392_928)


def test_translator_through_fewer_channels_starts_from_the_remembered_feature():
    layer = RefineTranslator(16, hidden=4, norm=dict(type="GN")).eval()
    layer.expand.weight.data.zero_()
    layer.expand.bias.data.zero_()
    feature = torch.randn(2, 16, 5, 7)
    assert torch.equal(layer(feature, torch.randn(2, 1, 5, 7)), feature)


PLUGIN = '''
"""Reuse every other frame of objects with odd ids."""
from vosplug.models.gates import Gate
from vosplug.registry import GATES


@GATES.register_module()
class OddGate(Gate):
    def forward(self, inputs):
        values = [float(name % 2 and inputs.frame % 2) for _, name in inputs.rows.keys]
        return inputs.features.new_tensor(values)
'''


def test_a_gate_from_a_plugin_file(tmp_path):
    (tmp_path / "odd_gate.py").write_text(PLUGIN)
    load_plugin(str(tmp_path / "odd_gate.py"))
    assert GATES.build(dict(type="OddGate"), in_channels=8)(inputs(1)).tolist() == [1.0, 0.0]
