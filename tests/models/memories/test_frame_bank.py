"""FrameBank: which frames are kept, for how long, and within which budget."""

import pytest
import torch

from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.utils.errors import ConfigError


def entry(frame, valid=((True,),), tokens=4, prompted=False):
    """An entry whose values say which frame and which object they are of."""
    valid = torch.tensor(valid)
    value = torch.zeros(*valid.shape, 2, tokens) + frame + torch.arange(valid.shape[1]).view(1, -1, 1, 1) / 10
    return MemoryEntry(frame, {"key": torch.full((len(valid), 3, tokens), float(frame))}, {"value": value}, valid=valid,
                       grid=(1, tokens), prompted=prompted)


def run(bank, frames, prompts=(0,), tokens=4, training=False, last=None):
    """Offer frames as a segmentor does; returns the memory and what it held after each frame."""
    memory = bank.new(training=training)
    history = []
    for t in range(frames):
        if memory.wants(t, prompted=t in prompts, last=t == last):
            memory.add(entry(t, tokens=tokens, prompted=t in prompts))
        history.append([e.frame for e in memory])
    return memory, history


def test_every_kth_frame_and_prompts_are_kept():
    memory, history = run(FrameBank(every=3), 11, prompts=(0, 4))
    assert history[-1] == [0, 3, 4, 6, 9]
    assert history[2] == [0] and len(memory) == 5 and memory.tokens == 20
    assert [e.prompted for e in memory] == [True, False, True, False, False]


def test_training_has_its_own_interval():
    assert run(FrameBank(every=5, train_every=2), 6, training=True)[1][-1] == [0, 2, 4]
    assert run(FrameBank(every=5), 4, training=True)[1][-1] == [0, 1, 2, 3]


def test_the_last_frame_is_not_memorised():
    assert run(FrameBank(every=2, include_last=True), 5, last=4)[1][-1] == [0, 2, 3]
    memory = FrameBank().new()
    assert not memory.wants(0, prompted=True, last=True)


def test_temporary_frame_is_replaced_by_the_next():
    memory, history = run(FrameBank(every=3, include_last=True), 6)
    assert history == [[0], [0, 1], [0, 2], [0, 3], [0, 3, 4], [0, 3, 5]]
    assert memory.temporary.frame == 5 and len(memory) == 3


def test_two_videos_share_a_policy_but_no_memory():
    bank = FrameBank()
    first, second = bank.new(), bank.new()
    first.add(entry(0))
    assert len(second) == 0 and second.tokens == 0


@pytest.mark.parametrize("include_last", [False, True])
@pytest.mark.parametrize("limit", [dict(max_frames=4), dict(max_tokens=19), dict(max_tokens=99, max_frames=4),
                                   dict(max_tokens=16, max_frames=99)])
def test_budget_holds_after_every_frame(limit, include_last):
    bank = FrameBank(every=2, include_last=include_last, **limit)
    memory, history = run(bank, 30)
    assert max(map(len, history)) == 4 and memory.tokens == 16
    assert all(0 in frames for frames in history)
    assert all(frames == sorted(frames) for frames in history)
    assert history[-1][-1] == (29 if include_last else 28)


def test_no_budget_grows():
    assert len(run(FrameBank(every=1, max_tokens=None), 50)[0]) == 50
    assert run(FrameBank(every=1, max_tokens=None), 7)[1][-1] == list(range(7))


def test_the_oldest_frame_goes_first():
    assert run(FrameBank(every=1, max_frames=4), 8)[1][-1] == [0, 5, 6, 7]


@pytest.mark.parametrize("since, kept", [("start", [0, 3, 5, 10]), ("kept", [0, 3, 8])])
def test_the_gap_counts_from_the_start_or_from_the_last_kept_frame(since, kept):
    memory, history = run(FrameBank(every=5, since=since), 12, prompts=(0, 3))
    assert history[-1] == kept
    bank = FrameBank(every=5, since=since, include_last=True)
    memory, history = run(bank, 12, prompts=(0, 3))
    assert [e.frame for e in memory.kept] == kept and memory.latest.frame == 11
    assert history[:5] == [[0], [0, 1], [0, 2], [0, 3], [0, 3, 4]]


def test_long_and_short_term_memory_of_a_method_with_layers():
    """AOT: keys and values of every layer, one map per video; a late object puts the next long-term frame off."""
    memory = FrameBank(every=4, since="kept", include_last=True, train_every=2).new()
    for t in range(9):
        layers = {f"{name}{i}": torch.full((1, 8, 6), float(t)) for i in range(2) for name in "kv"}
        assert memory.wants(t, prompted=t in (0, 3), last=False)
        memory.add(MemoryEntry(t, layers, valid=torch.ones(1, 1 + (t >= 3), dtype=torch.bool), prompted=t in (0, 3)))
        assert memory.latest["v1"][0, 0, 0] == t
    assert [e["k0"][0, 0, 0].item() for e in memory.kept] == [0, 3, 7]
    memory.keep_objects(torch.tensor([1]))  # of its two objects the older one ends
    assert [e.frame for e in memory.kept] == [3, 7] and memory.latest.frame == 8
    memory = run(FrameBank(every=4, since="kept", train_every=2), 6, prompts=(0, 1), training=True)[0]
    assert [e.frame for e in memory] == [0, 1, 3, 5]


@pytest.mark.parametrize("since", ["start", "kept"])
def test_whether_a_frame_is_kept_is_known_before(since):
    memory = FrameBank(every=3, since=since, include_last=True).new()
    for t in range(12):
        expected = memory.is_kept(t, t in (0, 4))
        assert memory.is_kept(t, t in (0, 4)) is expected
        memory.add(entry(t, prompted=t in (0, 4)))
        assert (memory.kept[-1].frame == t) is expected and (memory.temporary is None) is expected


def test_latest_is_always_the_newest_frame():
    bank = FrameBank(every=2, include_last=True, max_frames=1)
    memory = bank.new()
    assert memory.latest is None
    for t in range(4):  # one frame of budget, which the prompt takes
        memory.add(entry(t, prompted=t == 0))
        assert memory.latest.frame == t and [e.frame for e in memory] == [0] and memory.tokens == 4
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.latest is None and len(memory) == 0
    memory = FrameBank(every=2).new()
    memory.add(entry(0, ((True, False),), prompted=True))
    memory.add(entry(2, ((True, True),)))
    memory.keep_objects(torch.tensor([1]))
    assert memory.latest is memory.kept[-1] and memory.latest.objects == 1 and [e.frame for e in memory] == [2]


def test_objects_are_dropped_from_a_latest_frame_that_the_budget_refused():
    memory = FrameBank(every=1, max_frames=1).new()
    memory.add(entry(0, ((True, True),), prompted=True))
    memory.add(entry(1, ((True, True),)))
    memory.keep_objects(torch.tensor([1]))
    assert [e.frame for e in memory] == [0] and memory.latest.frame == 1
    assert torch.allclose(memory.latest["value"], torch.tensor(1.1)) and memory.latest.objects == 1


def test_prompts_may_be_temporary():
    bank = FrameBank(every=5, since="kept", include_last=True, prompts_to_long_term=False)
    memory, history = run(bank, 8, prompts=(0, 3, 5))
    assert [e.frame for e in memory.kept] == [0, 5] and history[3] == [0, 3] and history[4] == [0, 4]
    memory = bank.new()
    memory.add(entry(2, prompted=True))  # nothing is kept yet
    assert [e.frame for e in memory.kept] == [2]
    with pytest.raises(ConfigError, match="needs include_last=True"):
        FrameBank(prompts_to_long_term=False)


@pytest.mark.parametrize("tau", [1, 3])
def test_a_buffer_of_the_last_frames_keeps_no_prompts(tau):
    _, history = run(FrameBank(every=1, max_frames=tau, max_tokens=None, keep_prompts=False), 9, prompts=(0, 4))
    assert history == [list(range(max(0, t - tau + 1), t + 1)) for t in range(9)]


def test_a_wrong_start_of_the_gap_is_refused():
    with pytest.raises(ConfigError, match="FrameBank.since must be 'start' or 'kept', got 'keep'. Did you mean 'kept'"):
        FrameBank(since="keep")


def test_the_only_prompt_of_an_object_is_never_evicted():
    memory = FrameBank(every=1, max_frames=2).new()
    memory.add(entry(0, ((True,),), prompted=True))
    memory.add(entry(1, ((True,),)))
    memory.add(entry(2, ((True, True),), prompted=True))  # frame 1 has to go
    assert [e.frame for e in memory] == [0, 2]
    memory.add(entry(3, ((True, True, True),), prompted=True))
    # Frame 0 serves an object that frame 2 serves too, so it goes; object 2 is still served by frame 2.
    assert [e.frame for e in memory] == [2, 3]
    served = torch.zeros(3, dtype=torch.bool)
    for e in memory:
        served[: e.objects] |= e.valid[0]
    assert served.all()


def test_needed_prompts_may_exceed_the_budget_but_other_frames_may_not():
    memory = FrameBank(every=1, include_last=True, max_frames=2).new()
    for t in range(3):  # objects whose masks are in one frame each
        valid = torch.zeros(1, 3, dtype=torch.bool)
        valid[0, t] = True
        memory.add(entry(t, valid.tolist(), prompted=True))
    assert [e.frame for e in memory] == [0, 1, 2]
    memory.add(entry(3, ((True, True, True),)))
    assert [e.frame for e in memory] == [0, 1, 2]


def test_one_frame_of_budget_keeps_the_prompt_alone():
    assert run(FrameBank(every=1, include_last=True, max_frames=1), 5)[1] == [[0]] * 5


def test_keep_objects_drops_channels_and_useless_entries():
    memory = FrameBank(every=2, include_last=True).new()
    memory.add(entry(0, ((True, False, True),), prompted=True))
    memory.add(entry(1, ((False, True, False),), prompted=True))
    memory.add(entry(2, ((True, True, True),)))
    memory.add(entry(3, ((False, True, False),)))
    memory.keep_objects(torch.tensor([0, 2]))
    assert [e.frame for e in memory] == [0, 2] and memory.temporary is None
    assert memory.kept[0].valid.tolist() == [[True, True]]
    assert torch.allclose(memory.kept[1]["value"][0, :, 0, 0], torch.tensor([2.0, 2.2]))
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert len(memory) == 0 and memory.tokens == 0


def test_keep_objects_of_an_entry_older_than_the_objects():
    memory = FrameBank().new()
    memory.add(entry(0, ((True, True),), prompted=True))
    memory.keep_objects(torch.tensor([1, 2, 3]))
    assert memory.kept[0].objects == 1 and torch.allclose(memory.kept[0]["value"][0, 0], torch.tensor(0.1))


def test_removing_one_object_in_a_batch_keeps_what_another_video_needs():
    memory = FrameBank().new()
    memory.add(entry(0, ((True, True), (False, True)), prompted=True))
    memory.keep_objects(torch.tensor([1]))
    assert memory.kept[0].valid.tolist() == [[True], [True]]


@pytest.mark.parametrize("options", [dict(every=0), dict(train_every=-1), dict(max_tokens=0), dict(max_frames=0),
                                     dict(every=2.5), dict(max_frames="6"), dict(max_prompts=0, max_frames=2)])
def test_wrong_numbers_are_config_errors(options):
    with pytest.raises(ConfigError, match=f"FrameBank.{next(iter(options))} must be"):
        FrameBank(**options)


def test_without_an_interval_only_frames_that_start_objects_are_kept():
    bank = FrameBank(every=None, train_every=None, max_frames=2)
    memory, history = run(bank, 9, prompts=(1, 4, 7))
    assert history[3] == [1] and history[-1] == [4, 7] and memory.latest.frame == 7
    assert not memory.is_kept(0, False) and memory.is_kept(9, True)
    assert run(bank, 9, prompts=(1,), training=True)[1][-1] == [1]
    assert run(FrameBank(every=None, include_last=True), 5)[1][-1] == [0, 4]


def test_prompts_stay_beside_the_last_frames_the_newest_of_them():
    bank = FrameBank(every=1, max_frames=2, max_prompts=2)
    assert run(bank, 9, prompts=(0, 3, 4, 8))[1] == [
        [0], [0, 1], [0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 3, 4, 5], [3, 4, 5, 6], [3, 4, 6, 7], [3, 4, 7, 8]]
    assert run(FrameBank(every=1, max_frames=2, max_prompts=2, max_tokens=12), 6)[1][-1] == [0, 4, 5]
    assert run(FrameBank(every=1, max_frames=2, max_prompts=2, max_tokens=8), 6)[1][-1] == [4, 5]


@pytest.mark.parametrize("options", [dict(), dict(max_frames=2, include_last=True),
                                     dict(max_frames=2, keep_prompts=False)])
def test_prompts_beside_frames_need_frames_and_no_contradiction(options):
    with pytest.raises(ConfigError, match="FrameBank.max_prompts needs max_frames, and neither include_last=True nor"):
        FrameBank(every=1, max_prompts=1, **options)
