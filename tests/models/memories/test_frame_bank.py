"""FrameBank: which frames are kept, for how long, and within which budget."""

import pytest
import torch

from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.utils.errors import ConfigError


def entry(frame, valid=((True,),), tokens=4, prompted=False):
    """An entry whose values say which frame and which object they are of."""
    valid = torch.tensor(valid)
    value = torch.zeros(*valid.shape, 2, tokens) + frame + torch.arange(valid.shape[1]).view(1, -1, 1, 1) / 10
    return MemoryEntry(frame=frame, key=torch.full((len(valid), 3, tokens), float(frame)), value=value, valid=valid,
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
@pytest.mark.parametrize("kind", ["OldestFirst", "EvenlySpaced", "LeastUsed"])
def test_budget_holds_after_every_frame(limit, include_last, kind):
    bank = FrameBank(every=2, include_last=include_last, eviction=dict(type=kind), **limit)
    memory, history = run(bank, 30)
    assert max(map(len, history)) == 4 and memory.tokens == 16
    assert all(0 in frames for frames in history)
    assert all(frames == sorted(frames) for frames in history)
    assert history[-1][-1] == (29 if include_last else 28)


def test_no_budget_grows():
    assert len(run(FrameBank(every=1, max_tokens=None), 50)[0]) == 50
    assert run(FrameBank(every=1, max_tokens=None), 7)[1][-1] == list(range(7))


def test_oldest_first():
    assert run(FrameBank(every=1, max_frames=4, eviction=dict(type="OldestFirst")), 8)[1][-1] == [0, 5, 6, 7]


def test_evenly_spaced_removes_the_frame_between_the_closest_neighbours():
    memory = FrameBank(every=1, max_tokens=None, eviction=dict(type="EvenlySpaced")).new()
    for frame in (0, 10, 12, 20, 40):
        memory.add(entry(frame, prompted=frame in (0, 40)))
    # Distances between the neighbours: 12 - 0, 20 - 10, 40 - 12.
    kept = list(memory)
    assert memory.policy.eviction.choose(kept[1:4], kept).frame == 12


def test_evenly_spaced_memory_spans_a_long_video():
    frames = run(FrameBank(every=1, max_frames=8, eviction=dict(type="EvenlySpaced")), 400)[1][-1]
    gaps = [b - a for a, b in zip(frames[:-1], frames[1:], strict=True)]
    assert max(gaps) < 2.5 * 400 / 7
    oldest = run(FrameBank(every=1, max_frames=8), 400)[1][-1]
    assert max(b - a for a, b in zip(oldest[:-1], oldest[1:], strict=True)) > 300  # what it is meant to avoid


def test_least_used_counts_attention_per_query():
    memory = FrameBank(every=1, max_frames=4, eviction=dict(type="LeastUsed")).new()
    assert memory.counts_usage and not FrameBank().new().counts_usage
    for frame, usage, reads in ((0, 0.0, 9), (1, 6.0, 9), (2, 1.0, 1), (3, 5.0, 8)):
        memory.add(entry(frame, prompted=frame == 0))
        memory.kept[-1].usage, memory.kept[-1].reads = usage, reads
    memory.add(entry(4))  # shares 6/9, 1/1, 5/8; the prompt has the least of all and stays
    assert [e.frame for e in memory] == [0, 1, 2, 4]


def test_least_used_takes_the_older_of_two_that_were_never_read():
    assert run(FrameBank(every=1, max_frames=3, eviction=dict(type="LeastUsed")), 4)[1][-1] == [0, 2, 3]


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
    assert torch.allclose(memory.kept[1].value[0, :, 0, 0], torch.tensor([2.0, 2.2]))
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert len(memory) == 0 and memory.tokens == 0


def test_keep_objects_of_an_entry_older_than_the_objects():
    memory = FrameBank().new()
    memory.add(entry(0, ((True, True),), prompted=True))
    memory.keep_objects(torch.tensor([1, 2, 3]))
    assert memory.kept[0].objects == 1 and torch.allclose(memory.kept[0].value[0, 0], torch.tensor(0.1))


def test_removing_one_object_in_a_batch_keeps_what_another_video_needs():
    memory = FrameBank().new()
    memory.add(entry(0, ((True, True), (False, True)), prompted=True))
    memory.keep_objects(torch.tensor([1]))
    assert memory.kept[0].valid.tolist() == [[True], [True]]


@pytest.mark.parametrize("options", [dict(every=0), dict(train_every=-1), dict(max_tokens=0), dict(max_frames=0),
                                     dict(every=None), dict(every=2.5), dict(max_frames="6")])
def test_wrong_numbers_are_config_errors(options):
    with pytest.raises(ConfigError, match=f"FrameBank.{next(iter(options))} must be"):
        FrameBank(**options)


def test_unknown_eviction_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'OldestFirst'"):
        FrameBank(eviction=dict(type="OldestFrist"))
