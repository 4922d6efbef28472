"""What all backbones share: steps and levels, weights to start from, what is not trained."""

import logging

import pytest
import torch
from torch import nn

from vosplug.models.backbones import Backbone, MobileNetV2, ResNet
from vosplug.models.layers.build import FrozenBN
from vosplug.structures import Level
from vosplug.utils.errors import CheckpointError, ConfigError, InputError

RESNET = dict(depth=None, block="basic", blocks=(1, 1, 1), stem_channels=4, widths=(4, 6, 8))
BACKBONES = {"ResNet": (ResNet, RESNET, "conv1.weight", "fc.weight", "bn1"),
             "MobileNetV2": (MobileNetV2, dict(width=0.1), "features.0.0.weight", "classifier.1.weight",
                             "features.0.1")}


class Chain(Backbone):
    """Steps that double the input, of which the first is not published and two share a stride."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 1, 1)
        self.steps = ("c1", "c2", "c3", "c4")
        self.levels = {"c2": Level(1, 1), "c3": Level(1, 1), "c4": Level(1, 1)}
        self.ran = []
        self.finish()

    @property
    def stages(self):
        return [[self.conv1]]

    def advance(self, step, x):
        self.ran.append(step)
        return 2 * x


def test_steps_run_once_and_only_as_far_as_asked():
    chain, x = Chain(), torch.ones(1, 1, 2, 2)
    part = chain(x, upto="c2")
    assert list(part) == ["c2"] and part["c2"].mean() == 4 and chain.ran == ["c1", "c2"]
    whole = chain.extend(part)
    assert chain.ran == ["c1", "c2", "c3", "c4"] and [float(m.mean()) for m in whole.values()] == [4, 8, 16]
    assert list(part) == ["c2"] and whole["c2"] is part["c2"]
    assert list(chain.extend(whole)) == list(chain.extend(whole, upto="c2")) == ["c2", "c3", "c4"]
    assert len(chain.ran) == 4


def test_what_cannot_be_extended_and_levels_that_are_not_published():
    chain = Chain()
    with pytest.raises(InputError, match=r"Chain.extend goes on from a level \(c2, c3, c4\), but the pyramid has c1"):
        chain.extend({"c1": torch.ones(1, 1, 2, 2)})
    with pytest.raises(ConfigError, match="Chain has no level 'c1'; its levels: c2, c3, c4"):
        chain(torch.ones(1, 1, 2, 2), upto="c1")


@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_stages_are_the_stem_and_the_first_ones(name):
    cls, options, *_ = BACKBONES[name]
    for count in range(len(cls(**options).stages)):
        model = cls(**options, frozen_stages=count)
        trained = [all(p.requires_grad for m in stage for p in m.parameters()) for stage in model.stages]
        assert trained == [count == 0] + [number > count for number in range(1, len(trained))]
        stages = {id(p) for stage in model.stages for m in stage for p in m.parameters()}
        assert stages == {id(p) for p in model.parameters()}
    with pytest.raises(ConfigError, match=rf"{name}.frozen_stages must lie in 0..{count}, got {count + 1}"):
        cls(**options, frozen_stages=count + 1)


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("name", BACKBONES)
def test_norm_statistics_stay_if_frozen(name, freeze):
    cls, options, *_ = BACKBONES[name]
    model = cls(**options, freeze_norm_stats=freeze)
    before = {n: b.clone() for n, b in model.named_buffers()}
    model.eval().train()
    model(torch.randn(2, 3, 40, 40) + 1)
    same = [torch.equal(b, before[n]) for n, b in model.named_buffers()]
    assert all(same) if freeze else not any(same)


@pytest.mark.parametrize("name", BACKBONES)
def test_norm_statistics_of_frozen_stages_stay(name):
    cls, options, *_ = BACKBONES[name]
    model = cls(**options, freeze_norm_stats=False, frozen_stages=1)
    frozen = {id(b) for stage in model.stages[:2] for m in stage for b in m.buffers()}
    before = {n: b.clone() for n, b in model.named_buffers()}
    model.eval().train()
    model(torch.randn(2, 3, 40, 40) + 1)
    same = {n: torch.equal(b, before[n]) for n, b in model.named_buffers()}
    assert same == {n: id(b) in frozen for n, b in model.named_buffers()} and True in same.values()


class TestWeights:
    """Files of weights, as they differ."""

    @pytest.fixture(params=BACKBONES)
    def case(self, request, tmp_path):
        """A file with random values, with counters and a classifier, and how a network is built."""
        cls, options, stem, head, norm = BACKBONES[request.param]
        generator = torch.Generator().manual_seed(3)
        state = {name: torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value + 7
                 for name, value in cls(**options).state_dict().items()}
        path = tmp_path / "weights.pth"
        torch.save({"state_dict": {**state, head: torch.zeros(2, 2)}}, path)
        return lambda **more: cls(**{**options, **more}, weights=str(path)), state, stem, norm, path

    def test_all_is_taken_and_what_is_not_needed_is_named(self, case, caplog):
        build, state, *_ = case
        with caplog.at_level(logging.INFO, logger="vosplug"):
            model = build()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert f"{len(state)} of the {len(state)} tensors" in caplog.text and "(the classifier)" in caplog.text

    def test_frozen_norms_take_batch_norms_without_their_counters(self, case):
        build, state, _, norm, _ = case
        model, plain = build(norm=dict(type="FrozenBN")).eval(), build().eval()
        frozen = dict(model.named_modules())[norm]
        assert isinstance(frozen, FrozenBN) and torch.equal(frozen.running_var, state[f"{norm}.running_var"])
        assert set(state) - set(model.state_dict()) == {n for n in state if n.endswith("num_batches_tracked")}
        assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        x = torch.randn(1, 3, 33, 47)
        assert all(torch.allclose(a, b, rtol=1e-4) for a, b in
                   zip(model(x).values(), plain(x).values(), strict=True))

    def test_a_wider_stem_keeps_its_own_channels(self, case):
        build, state, stem, *_ = case
        weight = build(in_channels=5).get_parameter(stem)
        assert torch.equal(weight[:, :3], state[stem]) and not weight[:, 3:].eq(state[stem][:, :2]).any()

    def test_weights_that_lack_a_tensor_or_bring_others_are_refused(self, case):
        build, state, stem, norm, path = case
        counter, unknown = f"{norm}.num_batches_tracked", {"unknown.weight": torch.zeros(1)}
        torch.save({name: value for name, value in state.items() if name != counter}, path)
        assert torch.equal(build().get_buffer(counter), torch.tensor(0))  # files of old do not have it
        for wrong, message in (({**state, **unknown}, r"1 unexpected \(unknown.weight\)"),
                               ({n: v for n, v in state.items() if n != stem}, rf"1 missing \({stem}\)")):
            torch.save(wrong, path)
            with pytest.raises(CheckpointError, match=message):
                build()
