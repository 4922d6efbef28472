"""Target models: samples, weights, what is learnt when."""

import pytest
import torch

from vosplug.models.memories import MemoryEntry, TargetModel
from vosplug.structures import Rows
from vosplug.utils.errors import ConfigError, InputError

SIZE, GRID, CHANNELS = (32, 48), (4, 6), 6


def policy(**options):
    """Small target models that are learnt from five samples."""
    return TargetModel(**{"augmentation": dict(type="FixedSamples", rolls=((2, 3), (-3, 1))), "channels": 4,
                          "init_iters": (3, 3), "update_iters": (3,), "capacity": 8, **options})


def begun(rule, mask=None, channels=CHANNELS):
    """State with the target model of object 1, and that target model."""
    state = rule.new()
    if mask is None:
        mask = torch.zeros(SIZE)
        mask[8:20, 10:30] = 1
    random = torch.Generator().manual_seed(0)
    features = torch.randn(channels, *GRID, generator=random)
    samples = rule.augmentation.samples
    state.start((0, 0), (1, 0), samples(features), samples(mask))
    return state, state.targets[0, 0]


def hidden(seed, channels=4):
    return torch.randn(channels, *GRID, generator=torch.Generator().manual_seed(seed))


def soft_mask(pixels=60):
    mask = torch.zeros(SIZE)
    mask.view(-1)[:pixels] = 0.8
    return mask


@pytest.mark.parametrize("pixels", [0, 1, 9, 10, 60, SIZE[0] * SIZE[1]])
@pytest.mark.parametrize("weighting", ["hinge", "none"])
def test_any_size_of_the_object_gives_finite_weights_and_models(pixels, weighting):
    rule = policy(pixel_weighting=weighting)
    mask = torch.zeros(SIZE)
    mask.view(-1)[:pixels] = 1
    weights = rule.pixel_weights(mask[None])
    assert torch.isfinite(weights).all()
    if weighting == "hinge" and 10 <= pixels < 0.1 * mask.numel():
        share = pixels / mask.numel()
        assert weights[0, 0, 0] == pytest.approx((0.1 / share) ** 0.5) and \
            weights[0, -1, -1] == pytest.approx((0.9 / (1 - share)) ** 0.5)
    _, model = begun(rule, mask)
    assert torch.isfinite(model.filter).all() and torch.isfinite(model.project).all()


def test_weights_of_samples_follow_the_published_rule():
    state, model = begun(policy(update_every=None, capacity=8))
    assert model.weights.tolist() == pytest.approx([2 / 6, *[1 / 6] * 4])  # nothing is stored without updates
    state, model = begun(policy(update_every=100))
    assert model.weights.tolist() == pytest.approx([2 / 6, *[1 / 6] * 4, 0, 0, 0])
    expected = [2 / 6, *[1 / 6] * 4, 0, 0, 0]
    previous = None
    for number in range(6):
        slot = expected.index(min(expected)) if 0 in expected else min(range(8), key=expected.__getitem__)
        if previous is None:
            expected = [w / 0.9 for w in expected]
            expected[slot] = 0.1
        else:
            expected[slot] = expected[previous] / 0.9
        expected = [w / sum(expected) for w in expected]
        previous = slot
        state.update(model, hidden(number), soft_mask())
        assert model.weights.tolist() == pytest.approx(expected) and model.previous == slot
        assert torch.equal(model.hidden[slot], hidden(number))
    assert model.used == 8 and model.weights.sum() == pytest.approx(1)


def test_given_frame_is_forgotten_unless_it_is_kept():
    state, model = begun(policy(update_every=1000, keep_first=True, first_share=0.3))
    given = model.hidden[:5].clone()
    for number in range(40):
        state.update(model, hidden(number), soft_mask())
    assert torch.equal(model.hidden[:5], given) and model.weights[:5].sum() == pytest.approx(0.3)
    state, model = begun(policy(update_every=1000))
    for number in range(40):
        state.update(model, hidden(number), soft_mask())
    assert not any(torch.equal(a, b) for a, b in zip(model.hidden[:5], given, strict=True))


def test_the_given_frames_share_falls_as_derived():
    """64% of the weight after 5 stored frames, 40% after 10, 0.05% after 75, at capacity 80."""
    state, model = begun(policy(update_every=1000, capacity=80))
    shares = {}
    for number in range(1, 76):
        state.update(model, hidden(number), soft_mask())
        shares[number] = float(model.weights[:5].sum())
    assert shares[5] == pytest.approx(0.64, abs=0.005) and shares[10] == pytest.approx(0.40, abs=0.005)
    assert shares[75] == pytest.approx(0.0005, abs=0.0001)


@pytest.mark.parametrize("count_first, frames", [(False, [3, 6]), (True, [2, 5])])
def test_filter_is_learnt_on_every_nth_classified_frame(count_first, frames):
    state, model = begun(policy(update_every=3, count_first=count_first))
    changed = []
    for number in range(1, 7):
        before = model.filter
        state.update(model, hidden(number), soft_mask())
        if not torch.equal(before, model.filter):
            changed.append(number)
    assert changed == frames


def test_small_predictions_count_as_classified_but_leave_no_sample():
    state, model = begun(policy(update_every=2))
    before = model.filter
    for pixels in (9, 9, 0, 0):
        state.update(model, hidden(0), soft_mask(pixels))
    assert model.seen == 4 and model.used == 5 and model.filter is before


def test_learning_improves_the_loss_and_depends_on_seed_object_and_frame_alone():
    filters = {}
    for seed, name in ((0, (1, 0)), (0, (1, 0)), (1, (1, 0)), (0, (2, 0)), (0, (1, 3))):
        torch.rand(3)
        rule = policy(seed=seed)
        state = rule.new()
        features = torch.randn(CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
        mask = (torch.rand(SIZE, generator=torch.Generator().manual_seed(1)) > 0.5).float()
        state.start((0, 0), name, rule.augmentation.samples(features), rule.augmentation.samples(mask))
        filters.setdefault((seed, name), []).append(state.targets[0, 0].filter)
    assert torch.equal(*filters[0, (1, 0)])
    kinds = [values[0] for values in filters.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(kinds) for b in kinds[:i])


def test_scores_separate_what_can_be_separated():
    rule = policy(init_iters=(10, 10, 10), filter_reg=(1e-4, 1e-3))
    mask = torch.zeros(SIZE)
    mask[8:24, 16:32] = 1
    features = torch.nn.functional.interpolate(mask[None, None], size=GRID, mode="area")[0].repeat(CHANNELS, 1, 1)
    state = rule.new()
    state.start((0, 0), (1, 0), rule.augmentation.samples(features), rule.augmentation.samples(mask))
    rows = Rows.of_table(torch.ones(1, 1, dtype=torch.bool), (1,))
    score = state.score(state.project(features[None], rows), rows)[0, 0]
    assert score[1:3, 2:4].min() > 0.5 > score[:, 0].max()


def test_objects_come_and_go():
    rule = policy()
    state, _ = begun(rule)
    samples = rule.augmentation.samples
    for cell in ((0, 1), (0, 2), (1, 2)):
        state.start(cell, (cell[1], 4), samples(hidden(1, CHANNELS)), samples(soft_mask().round()))
    kept = state.targets[0, 2]
    assert state.tokens == 4 * 5 * 24
    state.keep_objects(torch.tensor([0, 2]))
    assert set(state.targets) == {(0, 0), (0, 1), (1, 1)} and state.targets[0, 1] is kept
    state.keep_objects(torch.tensor([], dtype=torch.long))
    assert state.tokens == 0 and list(state) == []


def test_options_of_training_clips():
    rule = policy(update_every=2, train=dict(channels=3, update_every=None, pixel_weighting="none"))
    assert rule.new().policy is rule
    trained = rule.new(training=True).policy
    assert (trained.channels, trained.update_every, trained.pixel_weighting) == (3, None, "none")
    assert (trained.capacity, trained.init_iters) == (8, (3, 3))


def test_frames_that_learn_filters():
    assert [f for f in range(1, 20) if policy(update_every=8).new().is_kept(f, False)] == [8, 16]
    assert [f for f in range(1, 20) if policy(update_every=8, count_first=True).new().is_kept(f, False)] == [7, 15]
    assert not any(policy(update_every=None).new().is_kept(f, False) for f in range(20))


@pytest.mark.parametrize("options, message", [
    (dict(capacity=5), "must be above the 5 samples"), (dict(update_every=0), "update_every must be a whole number"),
    (dict(learning_rate=1.0), "learning_rate must lie between"), (dict(pixel_weighting="soft"), "must be one of hinge"),
    (dict(first_share=0.0), "first_share must lie"), (dict(channels=0), "channels must be")])
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        policy(**options)


def test_entries_are_refused():
    entry = MemoryEntry(frame=0, frame_tensors={"key": torch.zeros(1, 2, 3)}, valid=torch.ones(1, 1, dtype=torch.bool),
                        object_tensors={"value": torch.zeros(1, 1, 2, 3)})
    with pytest.raises(InputError, match="learnt from features and masks"):
        policy().new().add(entry)
