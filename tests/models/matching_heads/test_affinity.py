"""Memory read-out against a loop in float64."""

import math

import pytest
import torch

from tests.models.matching_heads.helpers import (
    CK,
    CV,
    GRID,
    LATE,
    LENGTH,
    ONE_EACH,
    RAGGED,
    SAME,
    memory_of,
    naive,
    pairs_of,
    query_of,
)
from vosplug.models.matching_heads import AffinityMatching, AnisotropicL2Matching, BestAffinities, L2Matching
from vosplug.models.memories import FrameBank, FrameBankState, MemoryEntry
from vosplug.structures import Rows
from vosplug.utils.errors import InputError


@pytest.mark.parametrize("grad", [True, False])  # without gradients only the best tokens' values are touched
@pytest.mark.parametrize("top_k", [None, 1, 4, 99])
@pytest.mark.parametrize("valids", [SAME, LATE, RAGGED, ONE_EACH], ids=["same", "late", "ragged", "one_each"])
def test_readout_is_the_definition(valids, top_k, grad):
    memory = memory_of(valids)
    active = torch.tensor(valids[-1])
    pairs, query = Rows.of_table(active, range(active.shape[1])), query_of(len(active))
    with torch.set_grad_enabled(grad):
        out = L2Matching(top_k=top_k).eval()(query, memory, pairs, frame=len(valids))
    assert out.shape == (int(active.sum()), CV, *GRID) and out.dtype == torch.float64
    assert torch.allclose(out, naive(query, memory, pairs, top_k), atol=1e-12)


def test_best_tokens_are_read_without_a_matrix_of_all():
    memory, query, pairs = memory_of(LATE), query_of(), pairs_of([[True, True, True]])
    head, read = L2Matching(top_k=3).eval(), []
    original = head.read
    head.read = lambda affinity, *rest: read.append(affinity) or original(affinity, *rest)
    with torch.no_grad():
        head(query, memory, pairs, 3)
    assert all(isinstance(a, BestAffinities) and a.weights.shape == a.places.shape == (1, LENGTH, 3) for a in read)
    assert len(read) == 3  # groups of objects that started together
    for entry in memory:  # laid out once, side by side for each token, and still the same values
        assert entry.by_token("value").data_ptr() == entry["value"].data_ptr()
    for entry, fresh in zip(memory, memory_of(LATE), strict=True):
        assert torch.equal(entry["value"], fresh["value"])


def test_half_precision_values_are_read_in_their_type():
    memory, query = memory_of(SAME, dtype=torch.bfloat16), query_of(dtype=torch.bfloat16)
    pairs = pairs_of([[True, True]])
    with torch.no_grad():
        out = L2Matching(top_k=4).eval()(query, memory, pairs, 3)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.double(), naive(query, memory, pairs, 4), atol=0.03)


def test_only_the_asked_pairs_are_read():
    memory, query = memory_of(RAGGED), query_of(2)
    pairs = pairs_of([[False, True], [True, False]])
    assert torch.allclose(L2Matching()(query, memory, pairs, 3), naive(query, memory, pairs), atol=1e-12)


@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.parametrize("max_elements", [1, 20, 40, 1 << 20])
def test_chunks_equal_the_whole(max_elements, top_k):
    memory, query, pairs = memory_of(LATE), query_of(), pairs_of([[True, True, True]])
    whole = L2Matching(top_k=top_k).eval()(query, memory, pairs, 3)
    head = L2Matching(top_k=top_k, prior=dict(type="LocalityPrior")).eval()
    reference = head(query, memory, pairs, 3)
    head.max_elements = max_elements
    sizes = similarities(head)
    with torch.no_grad():
        out = head(query, memory, pairs, 3)
    assert torch.allclose(out, reference, atol=1e-12)
    assert all(q * m <= max(max_elements, 18) for q, m in sizes)  # one query with 18 tokens is the least
    assert len(sizes) > 3 or max_elements > 100
    assert not torch.allclose(out, whole)  # the prior does count


def similarities(head):
    """Numbers of queries and tokens that a head compares, filled as it does."""
    sizes, original = [], head.similarity
    head.similarity = lambda q, m: sizes.append((q.shape[-1], m.shape[-1])) or original(q, m)
    return sizes


def test_training_reads_in_one_piece():
    head = L2Matching()
    head.max_elements = 1
    sizes = similarities(head)
    head(query_of(), memory_of(SAME), pairs_of([[True, True]]), 3)
    assert sizes == [(LENGTH, 3 * LENGTH)]


@pytest.mark.parametrize("head", [L2Matching, AnisotropicL2Matching])
@pytest.mark.parametrize("grad", [True, False])
def test_training_reads_all_tokens_and_inference_the_best(head, grad):
    memory, query, pairs = memory_of(LATE), query_of(), pairs_of([[True, True, True]])
    with torch.set_grad_enabled(grad):
        trained = head(top_k=2).train()(query, memory, pairs, 3)
        tested = head(top_k=2).eval()(query, memory, pairs, 3)
    assert torch.allclose(trained, naive(query, memory, pairs), atol=1e-12)
    assert torch.allclose(tested, naive(query, memory, pairs, 2), atol=1e-12)
    assert not torch.allclose(trained, tested, atol=1e-3)


def test_objects_that_started_at_different_frames_equal_each_alone():
    memory, query = memory_of(LATE), query_of()
    together = L2Matching()(query, memory, pairs_of([[True, True, True]]), 3)
    for channel in range(3):
        alone = memory_of(LATE)
        alone.keep_objects(torch.tensor([channel]))
        single = L2Matching()(query, alone, pairs_of([[True]]), 3)
        assert len(alone) == 3 - channel
        assert torch.allclose(together[channel], single[0], atol=1e-12)


def test_object_without_memory_reads_zeros():
    out = L2Matching()(query_of(), memory_of([[[True, False]]]), pairs_of([[True, True]]), 1)
    assert out[0].abs().sum() > 0 and out[1].abs().sum() == 0


def test_videos_of_a_batch_do_not_see_each_other():
    memory, query = memory_of(RAGGED), query_of(2)
    before = L2Matching()(query, memory, pairs_of([[True, True], [True, True]]), 3)
    for e in memory:
        e["key"][1] += 1
        e["value"][1] -= 3
    after = L2Matching()(query, memory, pairs_of([[True, True], [True, True]]), 3)
    assert torch.equal(before[:2], after[:2]) and not torch.allclose(before[2:], after[2:])


@pytest.mark.parametrize("dtype, size", [(torch.float16, 6e4), (torch.bfloat16, 1e8), (torch.float32, 1e8)])
def test_huge_keys_do_not_overflow(dtype, size):
    memory, query = memory_of(SAME), query_of()
    for e in memory:
        e.frame_tensors["key"] = (e["key"].sign() * size).to(dtype)
        e.object_tensors["value"] = e["value"].float()
    memory.kept[1]["key"][..., 2] = (query.sign() * size).flatten(2)[..., 4].to(dtype)  # identical to one query
    out = L2Matching()((query.sign() * size).to(dtype), memory, pairs_of([[True, True]]), 3)
    assert torch.isfinite(out).all()
    tokens = torch.cat([e["key"] for e in memory], dim=-1).double()[0]
    values = torch.cat([e["value"] for e in memory], dim=-1).double()[0]
    same = (tokens == (query.sign() * size).to(dtype).double().flatten(2)[0, :, 4, None]).all(dim=0)
    assert same.any() and not same.all()
    assert torch.allclose(out.flatten(2)[:, :, 4].double(), values[..., same].mean(dim=-1), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keys_are_compared_in_float32(dtype):
    memory, query, pairs = memory_of(LATE, dtype=dtype), query_of(dtype=dtype), pairs_of([[True, True, True]])
    out = L2Matching()(query, memory, pairs, 3)
    assert out.dtype == dtype
    assert torch.allclose(out.double(), naive(query, memory, pairs), atol=0.05)
    scores = L2Matching().similarity(query.flatten(2).float(), memory.kept[0]["key"].float())
    affinity, share = next(L2Matching().affinities({"key": query.flatten(2)}, memory.kept[:1], GRID, 3))
    assert affinity.dtype == scores.dtype == torch.float32 and share == 1


def test_float32_values_under_autocast():
    """A norm keeps values in float32 while autocast multiplies in bfloat16; groups are joined all the same."""
    memory, query, pairs = memory_of(LATE, dtype=torch.float32), query_of(dtype=torch.float32), pairs_of([[True] * 3])
    with torch.autocast("cpu", torch.bfloat16):
        out = L2Matching()(query, memory, pairs, 3)
    assert torch.allclose(out.double(), naive(query, memory, pairs), atol=0.05)


def test_gradients_reach_queries_keys_and_values():
    memory, query = memory_of(LATE), query_of().requires_grad_()
    for e in memory:
        e["key"].requires_grad_()
        e["value"].requires_grad_()
    head = L2Matching(top_k=5).eval()
    inputs = [query, *(e["key"] for e in memory), *(e["value"] for e in memory)]

    def read(*tensors):
        for e, key, value in zip(memory, tensors[1:4], tensors[4:], strict=True):
            e.frame_tensors["key"], e.object_tensors["value"] = key, value
        return head(tensors[0], memory, pairs_of([[True, True, True]]), 3)

    assert torch.autograd.gradcheck(read, inputs, fast_mode=True)


def test_the_base_class_has_no_similarity():
    with pytest.raises(NotImplementedError):
        AffinityMatching()(query_of(), memory_of(SAME), pairs_of([[True, True]]), 3)


def test_similarity_for_others_is_that_of_the_read_out():
    """What a memory is handed: named tensors in, full precision out."""
    draw = torch.Generator().manual_seed(0)
    query, memory = ({"key": torch.randn(1, CK, n, generator=draw), "selection": torch.rand(1, CK, n, generator=draw),
                      "shrinkage": torch.rand(1, 1, n, generator=draw) + 1} for n in (3, 5))
    distance = (query["key"][0].T[:, None] - memory["key"][0].T).square()  # (3, 5, Ck)
    plain = L2Matching().similarity_of(query, memory)[0]
    own = query["key"][0].square().sum(dim=0)[:, None]
    assert torch.allclose(plain, (own - distance.sum(dim=-1)) / 2, atol=1e-5)
    head = AnisotropicL2Matching()
    weighed = -memory["shrinkage"][0] * (distance * query["selection"][0].T[:, None]).sum(dim=-1) / 2
    assert torch.allclose(head.similarity_of(query, memory)[0], weighed, atol=1e-5)
    keys = [{"key": side["key"]} for side in (query, memory)]
    assert torch.allclose(head.similarity_of(*keys)[0], -distance.sum(dim=-1) / 2, atol=1e-5)
    half = [{name: x.bfloat16() for name, x in side.items()} for side in (query, memory)]
    with torch.autocast("cpu", torch.bfloat16):
        scores = head.similarity_of(*half)[0]
    expected = head.similarity_of(*({name: x.float() for name, x in side.items()} for side in half))[0]
    assert scores.dtype == torch.float32 and torch.equal(scores, expected)


@pytest.mark.parametrize("missing", [(), ("selection",), ("shrinkage",), ("selection", "shrinkage")])
def test_weights_of_keys_are_used_where_there_are_some(missing):
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])
    selection = None if "selection" in missing else torch.rand_like(query)
    for entry in memory:
        if "shrinkage" not in missing:
            entry.frame_tensors["shrinkage"] = torch.rand(1, 1, LENGTH, dtype=torch.float64) + 1
    out = AnisotropicL2Matching()(query, memory, pairs, 3, selection=selection)
    keys, values = (torch.cat([e[name] for e in memory], dim=-1)[0] for name in ("key", "value"))
    distance = (query.flatten(2)[0].T[:, None] - keys.T).square()
    if selection is not None:
        distance = distance * selection.flatten(2)[0].T[:, None]
    scores = -distance.sum(dim=-1) / 2
    if "shrinkage" not in missing:
        scores = scores * torch.cat([e["shrinkage"] for e in memory], dim=-1)[0]
    assert torch.allclose(out.flatten(2), values @ scores.softmax(dim=-1).T, atol=1e-10)


def test_a_memory_of_other_tensors_is_refused_in_one_line():
    memory = FrameBank(every=1).new()
    memory.add(MemoryEntry(0, {"k0": torch.zeros(1, CK, LENGTH), "v0": torch.zeros(1, CV, LENGTH)},
                           valid=torch.ones(1, 2, dtype=torch.bool)))
    with pytest.raises(InputError, match="frame 0 has no tensor 'value', only k0, v0"):
        L2Matching()(query_of(), memory, pairs_of([[True, True]]), 1)


class Listener(FrameBankState):
    """A memory that writes down what heads tell it."""

    def __init__(self):
        super().__init__(FrameBank(every=1), 1)
        self.told = []

    def note_reading(self, entries, mass, share):
        self.told.append(([e.frame for e in entries], mass(), share))


class TestNotes:
    """What a head tells of a read-out."""

    @pytest.mark.parametrize("grad", [True, False])
    @pytest.mark.parametrize("top_k", [None, 3])
    def test_mass_is_the_sum_of_affinities(self, top_k, grad):
        memory, query = memory_of(SAME, bank=Listener()), query_of()
        with torch.set_grad_enabled(grad):
            L2Matching(top_k=top_k).eval()(query, memory, pairs_of([[True, True]]), 3)
        scores = torch.tensor([[-float((query.flatten(2)[0, :, q] - e["key"][0, :, n]).square().sum()) / 2
                                for e in memory for n in range(LENGTH)] for q in range(LENGTH)], dtype=torch.float64)
        if top_k:
            scores = scores.masked_fill(scores < scores.topk(top_k).values[:, -1:], -math.inf)
        (frames, mass, share), = memory.told
        assert frames == [0, 1, 2] and share == 1
        assert torch.allclose(mass[0], scores.softmax(dim=1).sum(dim=0))

    def test_groups_are_told_apart_and_chunks_add_up(self):
        query, pairs, told = query_of(), pairs_of([[True, True, True]]), []
        for max_elements in (1, 30, 1 << 20):
            memory, head = memory_of(LATE, bank=Listener()), L2Matching().eval()
            head.max_elements = max_elements
            with torch.no_grad():
                head(query, memory, pairs, 3)
            sums = {}
            for frames, mass, share in memory.told:
                before = sums.get(tuple(frames), (0, 0))
                sums[tuple(frames)] = (before[0] + mass, before[1] + share)
            assert set(sums) == {(0, 1, 2), (1, 2), (2,)}
            assert all(share == pytest.approx(1) for _, share in sums.values())
            assert all(float(mass.sum()) == pytest.approx(LENGTH) for mass, _ in sums.values())
            told.append([mass for mass, _ in sums.values()])
        assert len(memory.told) == 3
        assert all(torch.allclose(a, b) and torch.allclose(a, c) for a, b, c in zip(*told, strict=True))
