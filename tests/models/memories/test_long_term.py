"""The long-term memory against a naive one that treats every token by itself."""

import math

import numpy as np
import pytest
import torch

from vosplug.models.matching_heads import AnisotropicL2Matching, L2Matching
from vosplug.models.memories import ClipSamplerState, LongTermMemory, MemoryEntry
from vosplug.structures import Rows
from vosplug.utils.errors import ConfigError, InputError

CK, CV, GRID = 4, 3, (2, 3)
SIMILARITY = AnisotropicL2Matching().similarity_of
SMALL = dict(every=1, max_mid_term_frames=4, min_mid_term_frames=2, max_long_term_elements=17, num_prototypes=5)


def entry(frame, objects=1, prompted=False, seed=0, batch=1):
    """A random frame."""
    generator = torch.Generator().manual_seed(100 * seed + frame)
    tokens = GRID[0] * GRID[1]

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    key, value = draw(batch, CK, tokens), draw(batch, objects, CV, tokens)
    frames = {"key": key, "shrinkage": draw(batch, 1, tokens).square() + 1,
              "selection": draw(batch, CK, tokens).sigmoid()}
    return MemoryEntry(frame, frames, {"value": value}, valid=torch.ones(batch, objects, dtype=torch.bool), grid=GRID,
                       prompted=prompted)


def softmax(x):
    x = np.exp(np.array(x) - max(x))
    return x / x.sum()


def likeness(query, selection, token):
    distance = sum(e * (m - q) ** 2 for q, e, m in zip(query, selection, token["k"], strict=True))
    return -token["s"] * distance / math.sqrt(CK)


class Naive:
    """Tokens one by one: dicts of key, shrinkage, selection, values by object, counts and frame."""

    def __init__(self, policy, plain=False):
        self.plain = plain  # plain L2: keys have no weights
        self.policy, self.working, self.long, self.first = policy, [], [], {}

    def add(self, new):
        for n in range(new.tokens):
            values = {o: new["value"][0, o, :, n].numpy() for o in range(new.objects)}
            shrinkage, selection = float(new["shrinkage"][0, 0, n]), new["selection"][0, :, n].numpy()
            if self.plain:
                shrinkage, selection = 1.0, np.ones(CK)
            self.working.append(dict(k=new["key"][0, :, n].numpy(), s=shrinkage, e=selection, values=values, use=0.0,
                                     life=1e-7, frame=new.frame))
        for o in range(new.objects):
            self.first.setdefault(o, new.frame)
        frames = sorted({token["frame"] for token in self.working})
        anchors = set(self.first.values())
        if len(frames) - (len(anchors) - 1) >= self.policy.max_mid_term_frames:
            self.consolidate(anchors | set(frames[len(frames) - self.policy.min_mid_term_frames + 1 :]))

    def consolidate(self, kept):
        candidates = [token for token in self.working if token["frame"] not in kept]
        self.working = [token for token in self.working if token["frame"] in kept]
        excess = len(self.long) - (self.policy.max_long_term_elements - self.policy.num_prototypes)
        if excess > 0:
            limit = sorted(t["use"] / t["life"] for t in self.long)[excess - 1]
            self.long = [t for t in self.long if t["use"] / t["life"] > limit]
        for chosen in sorted(candidates, key=lambda t: -t["use"] / t["life"])[: self.policy.num_prototypes]:
            new = dict(chosen, use=0.0, life=1e-7, values={})
            weights = softmax([likeness(chosen["k"], chosen["e"], t) for t in candidates])
            new["s"] = sum(w * t["s"] for w, t in zip(weights, candidates, strict=True))
            for o in chosen["values"]:
                holders = [t for t in candidates if o in t["values"]]
                weights = softmax([likeness(chosen["k"], chosen["e"], t) for t in holders])
                new["values"][o] = sum(w * t["values"][o] for w, t in zip(weights, holders, strict=True))
            self.long.append(new)

    def read(self, key, selection, objects):
        out = {o: [] for o in range(objects)}
        groups = {}
        for o in range(objects):
            holders = [t for t in self.long + self.working if o in t["values"]]
            groups.setdefault(tuple(map(id, holders)), (holders, []))[1].append(o)
        for holders, members in groups.values():
            for query, weight in zip(key.T, np.ones_like(selection.T) if self.plain else selection.T, strict=True):
                weights = softmax([likeness(query, weight, t) for t in holders])
                for share, token in zip(weights, holders, strict=True):
                    token["use"] += share
                for o in members:
                    out[o].append(sum(w * t["values"][o] for w, t in zip(weights, holders, strict=True)))
            for token in holders:
                token["life"] += 1
        return np.stack([np.stack(out[o], axis=-1) for o in range(objects)])


@pytest.mark.parametrize("late", [None, 3, 6])
@pytest.mark.parametrize("kind, chunk", [(AnisotropicL2Matching, 1 << 25), (AnisotropicL2Matching, 20),
                                         (L2Matching, 20)])
def test_memory_equals_a_naive_one(late, kind, chunk):
    policy = LongTermMemory(**SMALL)
    head = kind().eval()
    head.max_elements = chunk
    memory, naive = policy.new(similarity=head.similarity_of), Naive(policy, plain=kind is L2Matching)
    seen_long = []
    with torch.no_grad():
        for t in range(13):
            objects = 1 if late is None or t <= late else 2
            query = entry(t, seed=1)
            if t:
                key, selection = query["key"].unflatten(-1, GRID), query["selection"].unflatten(-1, GRID)
                pairs = Rows.of_table(torch.ones(1, objects, dtype=torch.bool), range(objects))
                ours = head(key, memory, pairs, t, selection=selection).flatten(2).numpy()
                theirs = naive.read(query["key"][0].numpy(), query["selection"][0].numpy(), objects)
                assert np.allclose(ours, theirs, atol=1e-6)
            new = entry(t, objects=2 if late is not None and t >= late else 1, prompted=t in (0, late))
            memory.add(new)
            naive.add(new)
            assert memory.long_term_tokens == len(naive.long)
            assert memory.tokens == len(naive.long) + len(naive.working)
            seen_long.append(memory.long_term_tokens)
    assert max(seen_long) > 10 and max(seen_long) <= SMALL["max_long_term_elements"]
    assert any(after < before + SMALL["num_prototypes"] for before, after in zip(seen_long, seen_long[1:], strict=False)
               if after != before), "nothing was forgotten"


def fill(policy, frames):
    """Frames written without read-outs, with usage given."""
    memory = policy.new(similarity=SIMILARITY)
    for t in range(frames):
        for e in memory:
            e.use_count += torch.arange(e.tokens)
            e.life_count += 1
        memory.add(entry(t, prompted=t == 0))
    return memory


def test_candidates_are_all_but_the_first_and_the_recent_frames():
    memory = fill(LongTermMemory(**SMALL), 4)
    assert [e.frame for e in memory.working] == [0, 3]
    assert memory.long_term_tokens == 5 and next(iter(memory)) is memory.long_term[0]


def test_prototypes_are_the_most_used_by_falling_usage():
    memory = LongTermMemory(**SMALL).new(similarity=SIMILARITY)
    usage = torch.tensor([0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.6])
    assert memory.choose_prototypes(usage).tolist() == [1, 3, 5, 6, 2]
    assert memory.choose_prototypes(usage[:3]).tolist() == [1, 2, 0]


def test_forgetting_takes_ties_with_the_threshold():
    memory = fill(LongTermMemory(**{**SMALL, "max_long_term_elements": 8}), 4)
    memory.long_term[0].use_count = torch.tensor([[2.0, 1.0, 1.0, 1.0, 3.0]])
    memory.long_term[0].life_count = torch.ones(1, 5)
    key = memory.long_term[0]["key"].clone()
    memory.forget()  # 3 may stay, so that 2 have to go; the third of the same usage goes too
    assert torch.equal(memory.long_term[0]["key"], key[..., [0, 4]])
    memory.forget()
    assert memory.long_term_tokens == 2


def test_memory_is_bounded():
    assert max(fill(LongTermMemory(**SMALL), n).tokens for n in range(1, 60)) <= 17 + 3 * 6
    assert fill(LongTermMemory(every=1), 60).tokens <= 9 * 6 + 10_000


def test_frames_are_written_at_intervals_after_the_last_one():
    memory = LongTermMemory(every=3).new(similarity=SIMILARITY)
    written = []
    for t in range(12):
        if memory.wants(t, prompted=t in (0, 4), last=t == 11):
            memory.add(entry(t, prompted=t in (0, 4)))
            written.append(t)
    assert written == [0, 3, 4, 7, 10]


def test_objects_are_dropped_from_both_memories():
    memory = LongTermMemory(**SMALL).new(similarity=SIMILARITY)
    for t in range(12):
        memory.add(entry(t, objects=1 if t < 5 else 2, prompted=t in (0, 5)))
    assert {e.frame for e in memory.anchors()} == {0, 5}
    memory.keep_objects(torch.tensor([1]))
    assert all(e.objects == 1 and e.valid.all() for e in memory) and memory.long_term_tokens > 0
    assert [e.frame for e in memory.anchors()] == [5]
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.tokens == 0


@pytest.mark.parametrize(("options", "message"), [
    (dict(every=0), "LongTermMemory.every must be a whole number of at least 1, got 0"),
    (dict(num_prototypes=1.5), "num_prototypes must be a whole number"),
    (dict(min_mid_term_frames=10), "must be less than max_mid_term_frames"),
    (dict(num_prototypes=10_000), "must be less than max_long_term_elements")])
def test_impossible_budgets_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        LongTermMemory(**options)


def test_batches_of_videos_are_refused():
    with pytest.raises(InputError, match="one video at a time, got a batch of 2"):
        LongTermMemory().new(similarity=SIMILARITY).add(entry(0, batch=2))


def test_a_method_without_similarity_is_refused():
    with pytest.raises(ConfigError, match="does not publish .similarity_of.: use a FrameBank"):
        LongTermMemory().new()


def test_training_samples_frames_and_compares_nothing():
    memory = LongTermMemory(train_frames=3, train_candidates=4).new(training=True)
    assert isinstance(memory, ClipSamplerState)
    assert (memory.policy.train_frames, memory.policy.train_candidates) == (3, 4)


def test_latest_is_the_newest_frame():
    memory = LongTermMemory(**SMALL).new(similarity=SIMILARITY)
    assert memory.latest is None
    for t in range(7):
        memory.add(entry(t, prompted=t == 0))
        assert memory.latest.frame == t and memory.latest is memory.working[-1]
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.latest is None


def test_usage_is_counted_by_token_and_prototypes_start_anew():
    memory = LongTermMemory(**SMALL).new(similarity=SIMILARITY)
    memory.add(entry(0, prompted=True))
    memory.add(entry(1))
    entries = list(memory)
    memory.note_reading(entries, lambda: torch.arange(12.0)[None], 0.25)
    memory.note_reading(entries[1:], lambda: torch.ones(1, 6), 0.75)
    assert entries[0].use_count.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert entries[1].use_count.tolist() == [[7, 8, 9, 10, 11, 12]]
    assert torch.allclose(entries[0].life_count, torch.tensor(0.25 + 1e-7))
    assert torch.allclose(entries[1].usage, entries[1].use_count[0])
    memory.add(entry(2))
    memory.add(entry(3))
    assert memory.long_term_tokens == 5 and memory.long_term[0].use_count.sum() == 0
