"""FRTM: merging, late objects, what is random, what is kept, what is learnt from."""

import subprocess
import sys

import pytest
import torch

from tests.contracts.helpers import advance, boxes, build_changed, random_frames, track, training_batch
from vosplug.models.layers.aggregate import keep_winners, log_probability, normalised_odds, odds
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError

SIZE = (40, 56)
BOTH = torch.ones(1, 2, dtype=torch.bool)


def frtm(**options):
    """A tiny FRTM; options are those of the model."""
    return build_changed("FRTM", {f"model.{name}": value for name, value in options.items()})


def column(*values):
    """(1, O, 1, 1) probabilities."""
    return torch.tensor(values, dtype=torch.float64)[None, :, None, None]


def test_odds_by_hand():
    merged = odds(column(0.6, 0.55), BOTH)[0, :, 0, 0]
    raw = torch.tensor([0.4 / 0.6, 0.6 / 0.4, 0.55 / 0.45], dtype=torch.float64)
    assert torch.allclose(merged, raw.exp() / raw.exp().sum())
    # The most probable object has less than half: by the first protocol its pixel is background.
    assert merged[1] < 0.5 and merged.argmax() == 1
    kept = keep_winners(odds(column(0.6, 0.55), BOTH), BOTH).exp()[0, :, 0, 0]
    assert torch.allclose(kept, torch.tensor([1 - merged[1], merged[1], 0.0], dtype=torch.float64), atol=1e-6)
    assert log_probability(odds(column(0.6, 0.55), BOTH), BOTH).argmax() == 1
    tied = keep_winners(column(0.2, 0.4, 0.4), BOTH).exp()[0, :, 0, 0]
    assert torch.allclose(tied, torch.tensor([0.6, 0.4, 0.0], dtype=torch.float64), atol=1e-6)


def test_odds_stay_finite_and_hide_what_is_not_active():
    for values in ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0)):
        assert torch.isfinite(keep_winners(odds(column(*values), BOTH), BOTH)).all()
        assert torch.isfinite(normalised_odds(column(*values), BOTH)).all()
    one = torch.tensor([[True, False]])
    merged = odds(column(0.3, 0.9), one)
    assert torch.allclose(merged[:, :2], odds(column(0.3), one[:, :1])) and merged[0, 2] == 0
    assert keep_winners(merged, one)[0, 2] == -torch.inf and normalised_odds(column(0.3, 0.9), one)[0, 2] == -torch.inf
    assert odds(torch.zeros(1, 0, 2, 2), torch.ones(1, 0, dtype=torch.bool)).tolist() == [[[[1, 1], [1, 1]]]]


def test_normalised_odds_by_hand():
    raw = torch.tensor([0.1 / 0.9, 0.9 / 0.1, 0.2 / 0.8], dtype=torch.float64)
    assert torch.allclose(normalised_odds(column(0.9, 0.2), BOTH).softmax(dim=1)[0, :, 0, 0], raw / raw.sum())


def test_learnt_from_winners_only():
    for protocol in ("davis", "youtube_vos"):
        model = frtm(protocol=protocol)
        state = model.init_state()
        state.active = BOTH
        logits = model.merge(column(0.6, 0.55).float(), BOTH)
        masks = model.feedback(state, logits)[0, :, 0, 0]
        expected = float(odds(column(0.6, 0.55), BOTH)[0, 1, 0, 0])
        assert masks.tolist() == pytest.approx([expected, 0.0], abs=1e-6)


def test_given_masks_rule_others_out_before_merging():
    model, masks = frtm(), boxes(2, SIZE)
    frames = random_frames(3, SIZE)
    state = model.init_state()
    track(model, frames[:2], {0: ((1,), masks[:, :1])}, state=state)
    seen = []
    merge = model.merge
    model.merge = lambda prob, active: (seen.append(prob), merge(prob, active))[1]
    advance(model, state, frames[2], ((2,), masks[:, 1:]))
    known, both = seen
    inside = masks[0, 1] > 0
    assert known.shape[1] == 1 and both.shape[1] == 2
    assert both[0, 0][inside].abs().max() == 0 and torch.equal(both[0, 0][~inside], known[0, 0][~inside])
    assert torch.equal(both[0, 1], masks[0, 1])
    assert (0, 1) in state.memory.targets and state.memory.targets[0, 1].seen == 0
    assert state.memory.targets[0, 0].seen == 2


def test_runs_are_identical_and_leave_global_random_numbers_alone():
    frames, prompts = random_frames(4, SIZE), {0: ((1, 5), boxes(2, SIZE))}
    model = frtm()
    state = torch.get_rng_state()
    first = track(model, frames, prompts)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert all(torch.equal(a, b) for a, b in zip(first, track(model, frames, prompts), strict=True))
    other = track(frtm(**{"memory.seed": 1}), frames, prompts)
    assert not torch.equal(first[1], other[1])


def test_two_processes_give_the_same_masks(root):
    script = ("import torch, sys; sys.path.insert(0, '.'); from tests.models.segmentors.test_frtm import *; "
              "print(float(sum(o.double().abs().sum() for o in track(frtm(), random_frames(3, SIZE), "
              "{0: ((1,), boxes(1, SIZE))}))))")
    command = [sys.executable, "-c", script]
    runs = {subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    here = float(sum(o.double().abs().sum() for o in track(frtm(), random_frames(3, SIZE),
                                                           {0: ((1,), boxes(1, SIZE))})))
    assert len(runs) == 1 and float(runs.pop()) == pytest.approx(here, rel=1e-12)


def test_samples_of_an_object_at_480p_take_at_most_60_mib():
    cfg = load_config("frtm_fast_r18").model
    model = SEGMENTORS.build(cfg).eval()
    memory = model.memory.new()
    features = torch.randn(5, 256, 30, 54)
    memory.policy.init_iters = memory.policy.update_iters = (1,)
    memory.start((0, 0), (1, 0), features, torch.zeros(5, 480, 854))
    target = memory.targets[0, 0]
    held = sum(x.numel() * x.element_size() for x in vars(target).values() if isinstance(x, torch.Tensor))
    assert target.hidden.shape[0] == 80 and 50 * 2**20 < held < 60 * 2**20


def test_published_parameters():
    assert sum(p.numel() for p in SEGMENTORS.build(load_config("frtm_fast_r18").model).parameters()) == 12_402_641
    assert sum(p.numel() for p in SEGMENTORS.build(load_config("frtm_r101").model).parameters()) == 43_910_609
    assert sum(p.numel() for p in SEGMENTORS.build(load_config("g_frtm_fast_r18").model).parameters()) == 12_886_020
    assert sum(p.numel() for p in SEGMENTORS.build(load_config("g_frtm_r101").model).parameters()) == 44_492_292


def test_training_learns_target_models_once_and_as_constants():
    model = frtm().train()
    batch = training_batch(model)
    states = []
    init = model.init_state
    model.init_state = lambda *args, **options: (states.append(init(*args, **options)), states[-1])[1]
    losses = model(**batch, mode="loss")
    losses["loss_bce"].backward()
    targets = states[0].memory.targets
    assert len(targets) == 3 and not any(t.project.requires_grad or t.filter.requires_grad for t in targets.values())
    assert all(t.hidden.shape[0] == 3 and t.project.shape[0] == 3 for t in targets.values())  # as `train` says
    assert model.backbone.conv1.weight.grad.abs().sum() > 0  # through features, not through what was learnt


def test_frozen_backbone_has_no_gradients():
    model = frtm(**{"backbone.frozen_stages": 4}).train()
    model(**training_batch(model), mode="loss")["loss_bce"].backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())


@pytest.mark.parametrize("options, message", [
    ({"protocol": "davis17"}, "protocol must be one of"), ({"memory": {"type": "FrameBank"}}, "must be a TargetModel"),
    ({"decoder.upsampling": "nearest"}, "upsampling must be one of"),
    ({"decoder.names": ["c4", "c5"]}, "on both sides of stride 8"), ({"decoder.names": ["c7"]}, "no level 'c7'"),
    ({"backbone.output_stride": 8}, "needs a level of stride 16")])
def test_bad_options(options, message):
    if "memory" in options:
        with pytest.raises(ConfigError, match=message):
            cfg = load_config("frtm_fast_r18").model
            cfg.memory = options["memory"]
            SEGMENTORS.build(cfg)
        return
    with pytest.raises(ConfigError, match=message):
        frtm(**options)
