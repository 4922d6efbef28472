from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosplug.datasets import ClipBatchSampler, ClipRequest, MixedClips
from vosplug.registry import DATA_SAMPLERS
from vosplug.utils.errors import ConfigError, InputError

PHASES = [{"begin": 0.1, "max_skip": 15}, {"begin": 25, "length": 5, "batch_size": 1}, {"begin": 0.9, "max_skip": 5}]


class Items:
    """A data set that returns its requests."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, request):
        return request


def sampler(count=7, phases=(), **options):
    result = ClipBatchSampler(Items(count), **{"batch_size": 3, "rank": 0, "world_size": 1, **options})
    result.set_curriculum(phases, 100)
    return result


@settings(deadline=None, max_examples=30)
@given(start=st.integers(0, 60), world=st.integers(1, 3))
def test_a_resumed_run_draws_what_the_uninterrupted_one_would(start, world):
    for rank in range(world):
        whole = list(islice(sampler(phases=PHASES, rank=rank, world_size=world), 70))
        resumed = sampler(phases=PHASES, rank=rank, world_size=world)
        resumed.set_iteration(start)
        assert list(islice(resumed, 70 - start)) == whole[start:]


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 30), world=st.integers(1, 4), batch=st.integers(1, 5))
def test_all_ranks_together_see_every_clip_once_per_epoch(count, world, batch):
    iterations = -(-3 * count // (world * batch))
    ranks = [sampler(count, rank=r, world_size=world, batch_size=batch) for r in range(world)]
    drawn = []
    for iteration in range(iterations):
        batches = [ranks[r].requests_at(iteration) for r in range(world)]
        drawn += [batches[r][slot] for slot in range(batch) for r in range(world)]
    for epoch in range(3):
        assert sorted(q.index for q in drawn[epoch * count:(epoch + 1) * count]) == list(range(count))
    assert len({q.seed for q in drawn}) == len(drawn)


def test_epochs_are_shuffled_differently():
    order = [q.index for batch in islice(sampler(12, batch_size=12), 3) for q in batch]
    assert order[:12] != order[12:24] != order[24:36]
    assert order[:12] != sorted(order[:12])


def test_epochs_go_on_across_a_change_of_batch_size():
    batches = list(islice(sampler(10, [{"begin": 2, "batch_size": 2}]), 4))
    assert [len(batch) for batch in batches] == [3, 3, 2, 2]
    assert sorted(q.index for batch in batches for q in batch) == list(range(10))


def test_the_seed_matters():
    assert sampler(50, seed=1).requests_at(0) != sampler(50, seed=2).requests_at(0)


def test_phases_are_constant_between_their_begins():
    result = sampler(phases=PHASES, max_skip=10, length=3)
    expected = {0: (10, 3, 3), 9: (10, 3, 3), 10: (15, 3, 3), 24: (15, 3, 3), 25: (15, 5, 1), 90: (5, 5, 1)}
    for iteration, (skip, length, batch) in expected.items():
        requests = result.requests_at(iteration)
        assert {(q.max_skip, q.length) for q in requests} == {(skip, length)}
        assert len(requests) == batch
        phase = result.curriculum_at(iteration)
        assert (phase.max_skip, phase.length, phase.batch_size) == (skip, length, batch)


def test_a_phase_at_the_beginning_replaces_the_arguments():
    assert sampler(phases=[{"begin": 0, "max_skip": 3}]).requests_at(0)[0].max_skip == 3


def test_fractions_that_fall_on_one_iteration_of_a_short_run():
    result = sampler()
    result.set_curriculum([{"begin": f, "max_skip": s} for f, s in ((0.0, 5), (0.1, 10), (0.2, 15), (0.9, 7))], 3)
    assert [result.curriculum_at(i).max_skip for i in range(4)] == [10, 15, 15, 7]


def test_phases_must_be_in_order():
    with pytest.raises(ConfigError, match="not after the one before"):
        sampler(phases=[{"begin": 20}, {"begin": 20}])


def test_a_running_iteration_keeps_its_curriculum():
    running = sampler(phases=[{"begin": 2, "max_skip": 20}])
    stream = iter(running)
    next(stream)
    running.set_curriculum([{"begin": 1, "max_skip": 99}], 100)
    assert [batch[0].max_skip for batch in islice(stream, 2)] == [10, 20]


def test_weights_choose_the_source():
    mixed = MixedClips([Items(5), Items(20)], [3, 1])
    result = ClipBatchSampler(mixed, batch_size=50, rank=0, world_size=1)
    result.set_curriculum([{"begin": 0, "weights": [3, 1]}, {"begin": 40, "weights": [0, 1]},
                           {"begin": 50, "weights": None}], 100)
    sources = [mixed.locate(q.index)[0] for i in range(40) for q in result.requests_at(i)]
    assert 0.2 < sum(sources) / len(sources) < 0.3
    assert {mixed.locate(q.index)[0] for i in range(40, 50) for q in result.requests_at(i)} == {1}
    assert result.curriculum_at(60).weights is None
    result.set_iteration(39)
    assert next(iter(result)) == result.requests_at(39)


def test_built_around_a_sampler_as_mmengine_does():
    inner = type("Sampler", (), {"dataset": Items(4)})()
    result = DATA_SAMPLERS.build({"type": "ClipBatchSampler", "sampler": inner, "batch_size": 2})
    assert result.batch_size == 2
    assert len(next(iter(result))) == 2


@pytest.mark.parametrize(("phases", "message"), [
    ([{"max_skip": 3}], "needs 'begin'"),
    ([{"begin": 0.1, "max_skips": 3}], "Did you mean 'max_skip'"),
    ([{"begin": 1.5}], r"\[0, 1\]"),
    ([{"begin": -1}], ">= 0"),
    ([{"begin": "0.5"}], "fraction or an iteration"),
    ([{"begin": 20, "length": 4}, {"begin": 0.1}], "not after the one before"),
    ([{"begin": 20, "length": 0}], "length must be"),
    ([{"begin": 20, "batch_size": 2.5}], "batch_size must be"),
    ([{"begin": 20, "weights": [1]}], "several sources"),
    ([{"begin": 20, "weights": [-1, 2]}], "weights must be"),
])
def test_bad_curricula_are_refused(phases, message):
    with pytest.raises(ConfigError, match=message):
        sampler(phases=phases)


def test_fractions_need_a_total():
    with pytest.raises(ConfigError, match="total_iterations"):
        sampler().set_curriculum([{"begin": 0.5, "length": 2}])


@pytest.mark.parametrize("options", [{"rank": 2}, {"batch_size": 0}, {"max_skip": 0}, {"count": 0}])
def test_bad_arguments_are_refused(options):
    with pytest.raises(ConfigError):
        sampler(**options)


def test_weights_must_fit_the_sources():
    with pytest.raises(ConfigError, match="3 weights for 2 sources"):
        ClipBatchSampler(MixedClips([Items(1), Items(1)]), weights=[1, 1, 1])


@pytest.mark.parametrize("values", [{"index": -1, "seed": 0}, {"index": 0, "seed": -1},
                                    {"index": 0, "seed": 0, "length": 0},
                                    {"index": 0, "seed": 0, "max_skip": 0}])
def test_bad_requests_are_refused(values):
    with pytest.raises(InputError):
        ClipRequest(**values)
