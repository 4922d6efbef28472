"""What matching heads and memories must do, each with all of the others."""

import pytest
import torch

from vosplug.models.matching_heads import AffinityMatching
from vosplug.models.memories import FrameBank, Memory, MemoryState
from vosplug.registry import MATCHING_HEADS, MEMORIES
from vosplug.utils.errors import ConfigError

from .parts import CELLS, CK, CV, cases, entry_of, memory_of, rows_of

TOKENS = CELLS[0] * CELLS[1]
BOTH = [[True, True]]


def read(head, memory, rows, query, frame=8):
    """What a head reads; it may be asked with a selection that it does not know."""
    return head(query, memory, rows, frame, selection=None)


@pytest.fixture
def query():
    return torch.randn(1, CK, *CELLS, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("memory", cases(MEMORIES))
@pytest.mark.parametrize("part", cases(MATCHING_HEADS))
def test_matching_heads_read_any_memory(part, memory, training, query):
    head, policy = part.build().train(training), memory.build()
    try:
        memory = memory_of(policy, frames=8, training=training, head=head)
    except ConfigError as error:
        assert head.similarity_of is None and "\n" not in str(error)
        return
    rows, query = rows_of(BOTH), query.requires_grad_(training)
    out = read(head, memory, rows, query)
    assert out.shape == (2, head.out_channels or CV, *CELLS) and torch.isfinite(out).all()
    with torch.no_grad():
        one = read(head, memory, rows.select([False, True]), query)
        assert torch.allclose(one[0], read(head, memory, rows, query)[1], atol=1e-5)
    if training:
        out.square().sum().backward()
        assert torch.isfinite(query.grad).all()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


@pytest.mark.parametrize("part", cases(MATCHING_HEADS))
def test_an_object_without_memory_reads_zeros(part, query):
    head, memory = part.build().eval(), memory_of(FrameBank(every=1), objects=1)
    with torch.no_grad():
        out = read(head, memory, rows_of(BOTH), query)
        alone = read(head, memory, rows_of([[True]]), query)
    assert (out[1] == 0).all() and torch.allclose(out[0], alone[0], atol=1e-5)


@pytest.mark.parametrize("part", cases(MATCHING_HEADS))
def test_heads_that_compare_say_how(part):
    head = part.build()
    if head.similarity_of is not None:
        scores = head.similarity_of({"key": torch.randn(1, CK, 3).half()}, {"key": torch.randn(1, CK, 7).half()})
        assert scores.shape == (1, 3, 7) and scores.dtype == torch.float32 and torch.isfinite(scores).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("memory", cases(MEMORIES))
@pytest.mark.parametrize("part", cases(MATCHING_HEADS, of=AffinityMatching))
def test_affinities_read_weighted_means_of_values(part, memory, training, query):
    head, policy = part.build().train(training), memory.build()
    memory, rows = memory_of(policy, frames=8, training=training, head=head), rows_of(BOTH)
    with torch.set_grad_enabled(training):
        out = head(query, memory, rows, 8)
    values = torch.cat([e["value"] for e in memory], dim=-1)[0]
    assert (out.flatten(2) <= values.amax(dim=-1, keepdim=True) + 1e-5).all()
    assert (out.flatten(2) >= values.amin(dim=-1, keepdim=True) - 1e-5).all()
    for e in memory:
        e.object_tensors["value"] = torch.ones_like(e["value"])
    assert torch.allclose(head(query, memory, rows, 8), torch.ones(2, CV, *CELLS), atol=1e-5)


@pytest.mark.parametrize("part", cases(MATCHING_HEADS, of=AffinityMatching))
def test_affinities_tell_memories_what_they_read(part, query):
    head, told = part.build().eval(), []
    memory = memory_of(FrameBank(every=1))
    memory.note_reading = lambda entries, mass, share: told.append((entries, mass(), share))
    with torch.no_grad():
        head(query, memory, rows_of(BOTH), 3)
    assert sum(share for _, _, share in told) == pytest.approx(1)
    assert all(entries == list(memory) and mass.shape == (1, 3 * TOKENS) for entries, mass, _ in told)
    assert sum(float(mass.sum()) for _, mass, _ in told) == pytest.approx(TOKENS)  # one per query


@pytest.mark.parametrize("part", cases(MATCHING_HEADS, "propagation"))
def test_propagating_heads_publish_their_channels_and_take_back_what_they_hand_out(part):
    head = part.build(key_channels=16).eval()
    x, identity = torch.randn(3, 16, 2, 4), torch.randn(3, 16, 2, 4)
    output, tokens = head.reference(x, identity)
    again, drafts = head(x, [[pair] for pair in tokens], tokens)
    assert output.shape == again.shape == (3, head.out_channels, 2, 4)
    assert torch.allclose(output, again, atol=1e-5) and len(tokens) == len(head.blocks)
    for ours, theirs in zip(head.complete(drafts, identity), tokens, strict=True):
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("part", cases(MEMORIES))
def test_memories_answer_the_protocol(part, training):
    policy = part.build()
    assert isinstance(policy, Memory)
    memory, other = memory_of(policy, frames=8, training=training), memory_of(policy, frames=0, training=training)
    assert isinstance(memory, MemoryState) and len(other) == 0 and other.tokens == 0 and other.latest is None
    assert 0 < len(memory) == len(list(memory)) and memory.tokens == sum(e.tokens for e in memory) == 6 * len(memory)
    assert memory.wants(8, prompted=True, last=False) and not memory.wants(8, prompted=True, last=True)
    assert isinstance(memory.is_kept(8, True), bool) and memory.is_kept(8, False) is memory.is_kept(8, False)
    memory.note_reading(list(memory), lambda: torch.ones(1, memory.tokens), 1.0)
    newest = entry_of(8, prompted=True)
    memory.add(newest)
    assert memory.latest.frame == 8 and torch.equal(memory.latest["value"], newest["value"])
    memory.keep_objects(torch.tensor([1]))
    assert all(e["value"].shape[1] == 1 for e in (*memory, memory.latest))
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.tokens == len(memory) == 0 and memory.latest is None


@pytest.mark.parametrize("part", cases(MEMORIES, "target"))
def test_target_models_are_learnt_for_each_object_and_go_with_it(part):
    policy = part.build()
    assert isinstance(policy, Memory)
    memory, features = policy.new(), torch.randn(3, 5, 4, 6)
    masks = torch.zeros(3, 16, 24)
    masks[:, 4:12, 6:18] = 1
    for channel in (0, 1):
        memory.start((0, channel), (channel, 0), features, masks.roll(6 * channel, -1))
    tokens, rows = memory.tokens, rows_of(BOTH)
    scores = memory.score(memory.project(features[:1], rows), rows)
    assert scores.shape == (2, 1, 4, 6) and torch.isfinite(scores).all() and tokens > 0
    assert memory.wants(3, prompted=False, last=False) and not memory.wants(3, prompted=True, last=True)
    memory.keep_objects(torch.tensor([1]))
    left = rows_of([[True]])
    assert memory.tokens == tokens // 2
    assert torch.equal(memory.score(memory.project(features[:1], left), left)[0], scores[1])
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.tokens == len(memory) == 0


@pytest.mark.parametrize("part", cases(MEMORIES))
def test_memories_stay_within_their_budget(part):
    sizes = [len(list(memory_of(part.build(), frames=n))) for n in (12, 24)]
    budget = part.config.get("max_frames")
    assert max(sizes) <= budget if budget else sizes == sorted(sizes)
