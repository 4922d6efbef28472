"""Memory read-out against a loop in float64."""

import inspect
import math

import pytest
import torch

from vosplug.models.matching_heads import AffinityMatching, BestAffinities, L2Matching, LocalityPrior
from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.registry import MATCHING_HEADS
from vosplug.structures import Pairs

GRID, CK, CV = (2, 3), 4, 5
LENGTH = GRID[0] * GRID[1]


def pairs_of(active):
    return Pairs.of(torch.tensor(active), torch.device("cpu"))


def memory_of(valids, seed=0, dtype=torch.float64, eviction="OldestFirst", grids=None, **options):
    """A memory with an entry per (B, O) table of ``valids``; values of absent objects are zero, as they are written."""
    torch.manual_seed(seed)
    memory = FrameBank(every=1, eviction=dict(type=eviction), **options).new()
    for frame, valid in enumerate(valids):
        valid = torch.tensor(valid)
        grid = GRID if grids is None else grids[frame]
        tokens = LENGTH if grid is None else grid[0] * grid[1]
        value = torch.randn(*valid.shape, CV, tokens, dtype=torch.float64) * valid[:, :, None, None]
        key = torch.randn(len(valid), CK, tokens, dtype=torch.float64)
        memory.add(MemoryEntry(frame, key.to(dtype), value.to(dtype), valid, grid, prompted=frame == 0))
    return memory


def query_of(batch=1, seed=9, dtype=torch.float64):
    return torch.randn(batch, CK, *GRID, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def naive(query, memory, pairs, top_k=None, bias=None):
    """The definition, one number at a time: softmax over the tokens of the entries that hold the object."""
    out = torch.zeros(len(pairs), CV, LENGTH, dtype=torch.float64)
    for p, (b, o) in enumerate(zip(pairs.batch.tolist(), pairs.channel.tolist(), strict=True)):
        tokens = [(e, n) for e in memory if o < e.objects and e.valid[b, o] for n in range(e.tokens)]
        for place in range(LENGTH):
            q = query.flatten(2)[b, :, place].double()
            scored = []
            for e, n in tokens:
                score = -sum(float(q[c] - e.key[b, c, n]) ** 2 for c in range(CK)) / math.sqrt(CK)
                scored.append((score + (bias(e, n, place) if bias else 0.0), e.value[b, o, :, n].double()))
            scored = sorted(scored, key=lambda item: -item[0])[:top_k]
            peak = max((s for s, _ in scored), default=0.0)
            total = sum(math.exp(s - peak) for s, _ in scored)
            for s, value in scored:
                out[p, :, place] += math.exp(s - peak) / total * value
    return out.unflatten(-1, GRID)


SAME = [[[True, True]], [[True, True]], [[True, True]]]
LATE = [[[True]], [[True, True]], [[True, True, True]]]
RAGGED = [[[True, False], [True, True]], [[True, True], [True, True]], [[True, True], [True, True]]]
ONE_EACH = [[[True, False], [False, True]], [[True, False], [False, True]]]


@pytest.mark.parametrize("grad", [True, False])  # without gradients only the best tokens' values are touched
@pytest.mark.parametrize("top_k", [None, 1, 4, 99])
@pytest.mark.parametrize("valids", [SAME, LATE, RAGGED, ONE_EACH], ids=["same", "late", "ragged", "one_each"])
def test_readout_is_the_definition(valids, top_k, grad):
    memory = memory_of(valids)
    active = torch.tensor(valids[-1])
    pairs, query = Pairs.of(active, torch.device("cpu")), query_of(len(active))
    with torch.set_grad_enabled(grad):
        out = L2Matching(top_k=top_k).eval()(query, memory, pairs, frame=len(valids))
    assert out.shape == (int(active.sum()), CV, *GRID) and out.dtype == torch.float64
    assert torch.allclose(out, naive(query, memory, pairs, top_k), atol=1e-12)


@pytest.mark.parametrize("kind", MATCHING_HEADS.members())
def test_in_training_all_tokens_take_part(kind):
    """The full softmax of SpVOS Eq. 5 and of STCN's training: with the top k most tokens would get no gradients."""
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])
    part = MATCHING_HEADS.members()[kind]
    if "top_k" not in inspect.signature(part).parameters:
        pytest.skip(f"{kind} has no top_k")
    best, full = part(top_k=3), part(top_k=None)
    (weights,) = best.train().affinities(query, list(memory), GRID, 3)
    assert (weights > 0).all() and weights.shape == (1, LENGTH, 3 * LENGTH)
    assert torch.equal(best(query, memory, pairs, 3), full(query, memory, pairs, 3))
    with torch.no_grad():  # a mode of the part, not of autograd
        assert torch.equal(best(query, memory, pairs, 3), full(query, memory, pairs, 3))
    (weights,) = best.eval().affinities(query, list(memory), GRID, 3)
    assert ((weights > 0).sum(dim=-1) == 3).all()
    assert not torch.allclose(best(query, memory, pairs, 3), full(query, memory, pairs, 3))


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
        assert entry.by_token().data_ptr() == entry.value.data_ptr()
    for entry, fresh in zip(memory, memory_of(LATE), strict=True):
        assert torch.equal(entry.value, fresh.value)


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
    head = L2Matching(top_k=top_k, max_elements=max_elements, prior=dict(type="LocalityPrior")).eval()
    reference = L2Matching(top_k=top_k, prior=dict(type="LocalityPrior")).eval()(query, memory, pairs, 3)
    sizes = []
    original = head.similarity
    head.similarity = lambda q, m: sizes.append(q.shape[-1] * m.shape[-1]) or original(q, m)
    with torch.no_grad():
        out = head(query, memory, pairs, 3)
    assert torch.allclose(out, reference, atol=1e-12)
    assert all(size <= max(max_elements, 18) for size in sizes)  # one query with 18 tokens is the least
    assert len(sizes) > 3 or max_elements > 100
    assert not torch.allclose(out, whole)  # the prior does count


def test_training_reads_in_one_piece():
    head, sizes = L2Matching(max_elements=1), []
    original = head.similarity
    head.similarity = lambda q, m: sizes.append(q.shape[-1]) or original(q, m)
    head(query_of(), memory_of(SAME), pairs_of([[True, True]]), 3)
    assert sizes == [LENGTH]


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
        e.key[1] += 1
        e.value[1] -= 3
    after = L2Matching()(query, memory, pairs_of([[True, True], [True, True]]), 3)
    assert torch.equal(before[:2], after[:2]) and not torch.allclose(before[2:], after[2:])


@pytest.mark.parametrize("dtype, size", [(torch.float16, 6e4), (torch.bfloat16, 1e8), (torch.float32, 1e8)])
def test_huge_keys_do_not_overflow(dtype, size):
    memory, query = memory_of(SAME), query_of()
    for e in memory:
        e.key = (e.key.sign() * size).to(dtype)
        e.value = e.value.float()
    memory.kept[1].key[..., 2] = (query.sign() * size).flatten(2)[..., 4].to(dtype)  # identical to one query
    out = L2Matching()((query.sign() * size).to(dtype), memory, pairs_of([[True, True]]), 3)
    assert torch.isfinite(out).all()
    tokens = torch.cat([e.key for e in memory], dim=-1).double()[0]
    values = torch.cat([e.value for e in memory], dim=-1).double()[0]
    same = (tokens == (query.sign() * size).to(dtype).double().flatten(2)[0, :, 4, None]).all(dim=0)
    assert same.any() and not same.all()
    assert torch.allclose(out.flatten(2)[:, :, 4].double(), values[..., same].mean(dim=-1), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keys_are_compared_in_float32(dtype):
    memory, query, pairs = memory_of(LATE, dtype=dtype), query_of(dtype=dtype), pairs_of([[True, True, True]])
    out = L2Matching()(query, memory, pairs, 3)
    assert out.dtype == dtype
    assert torch.allclose(out.double(), naive(query, memory, pairs), atol=0.05)
    scores = L2Matching().similarity(query.flatten(2).float(), memory.kept[0].key.float())
    assert next(L2Matching().affinities(query, memory.kept[:1], GRID, 3)).dtype == scores.dtype == torch.float32


def test_float32_values_under_autocast():
    """A norm keeps values in float32 while autocast multiplies in bfloat16; groups are joined all the same."""
    memory, query, pairs = memory_of(LATE, dtype=torch.float32), query_of(dtype=torch.float32), pairs_of([[True] * 3])
    with torch.autocast("cpu", torch.bfloat16):
        out = L2Matching()(query, memory, pairs, 3)
    assert torch.allclose(out.double(), naive(query, memory, pairs), atol=0.05)


def test_gradients_reach_queries_keys_and_values():
    memory, query = memory_of(LATE), query_of().requires_grad_()
    for e in memory:
        e.key.requires_grad_()
        e.value.requires_grad_()
    head = L2Matching(top_k=5).eval()
    inputs = [query, *(e.key for e in memory), *(e.value for e in memory)]

    def read(*tensors):
        for e, key, value in zip(memory, tensors[1:4], tensors[4:], strict=True):
            e.key, e.value = key, value
        return head(tensors[0], memory, pairs_of([[True, True, True]]), 3)

    assert torch.autograd.gradcheck(read, inputs, fast_mode=True)


def test_the_base_class_has_no_similarity():
    with pytest.raises(NotImplementedError):
        AffinityMatching()(query_of(), memory_of(SAME), pairs_of([[True, True]]), 3)


class TestLocalityPrior:
    """Bias by distance."""

    @staticmethod
    def bias(frame, previous, older):
        """The formula: minus lambda times the squared distance in cells."""

        def of(entry, token, place):
            if entry.grid != GRID:
                return 0.0
            (y, x), (v, u) = divmod(place, GRID[1]), divmod(token, GRID[1])
            return -(previous if entry.frame == frame - 1 else older) * ((y - v) ** 2 + (x - u) ** 2)

        return of

    @pytest.mark.parametrize("top_k", [None, 4])
    def test_it_is_added_to_the_similarity(self, top_k):
        memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])
        head = L2Matching(top_k=top_k, prior=dict(type="LocalityPrior", previous=0.7, older=0.2)).eval()
        expected = naive(query, memory, pairs, top_k, self.bias(3, 0.7, 0.2))
        assert torch.allclose(head(query, memory, pairs, 3), expected, atol=1e-6)

    def test_tokens_without_a_grid_get_none(self):
        memory = memory_of(SAME, grids=[GRID, None, (3, 2)])
        query, pairs = query_of(), pairs_of([[True, True]])
        head = L2Matching(prior=dict(type="LocalityPrior", previous=0.5, older=0.3))
        assert torch.allclose(head(query, memory, pairs, 5), naive(query, memory, pairs, bias=self.bias(5, 0.5, 0.3)),
                              atol=1e-6)

    def test_factors_multiply_to_the_formula(self):
        memory = memory_of(SAME)
        prior = LocalityPrior(previous=0.02, older=0.002)
        rows, columns = prior(list(memory), GRID, 3, torch.device("cpu"))
        of = self.bias(3, 0.02, 0.002)
        expected = [[of(e, n, place) for e in memory for n in range(LENGTH)] for place in range(LENGTH)]
        assert torch.allclose(rows @ columns, torch.tensor(expected), atol=1e-6)

    def test_both_lambdas_learn(self):
        head = L2Matching(prior=dict(type="LocalityPrior")).double()
        memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])

        def total():
            return head(query, memory, pairs, 3).square().sum()

        total().backward()
        for parameter in (head.prior.log_previous, head.prior.log_older):
            start, step = parameter.detach().clone(), 1e-3
            with torch.no_grad():
                high, low = (parameter.copy_(start + d) is not None and float(total()) for d in (step, -step))
                parameter.copy_(start)
            assert abs(float(parameter.grad)) > 1e-6
            assert float(parameter.grad) == pytest.approx((high - low) / (2 * step), rel=1e-2)


class TestUsage:
    """Attention counted for the eviction of the least used frame."""

    def test_mass_is_the_sum_of_affinities(self):
        memory, query = memory_of(SAME, eviction="LeastUsed"), query_of()
        L2Matching()(query, memory, pairs_of([[True, True]]), 3)
        scores = [[-float((query.flatten(2)[0, :, q] - e.key[0, :, n]).square().sum()) / 2
                   for e in memory for n in range(LENGTH)] for q in range(LENGTH)]
        mass = torch.tensor(scores, dtype=torch.float64).softmax(dim=1).sum(dim=0).view(3, LENGTH).sum(dim=1)
        assert torch.allclose(torch.tensor([e.usage for e in memory], dtype=torch.float64), mass)
        assert [e.reads for e in memory] == [LENGTH] * 3

    def test_it_does_not_depend_on_chunks(self):
        rates = []
        for max_elements in (1, 30, 1 << 20):
            memory = memory_of(LATE, eviction="LeastUsed")
            with torch.no_grad():
                L2Matching(max_elements=max_elements)(query_of(), memory, pairs_of([[True, True, True]]), 3)
            rates.append([e.usage / e.reads for e in memory])
        assert rates[0] == pytest.approx(rates[2]) and rates[1] == pytest.approx(rates[2])

    @pytest.mark.parametrize("by_token", [False, True])
    def test_of_the_best_tokens_it_is_that_of_the_matrix(self, by_token):
        counted = []
        for grad in (True, False):
            memory = memory_of(LATE, eviction="LeastUsed")
            for entry in memory:
                if by_token:
                    entry.use_count = torch.zeros(1, entry.tokens, dtype=torch.float64)
                    entry.life_count = torch.zeros_like(entry.use_count)
            with torch.set_grad_enabled(grad):
                L2Matching(top_k=3).eval()(query_of(), memory, pairs_of([[True, True, True]]), 3)
            counted.append([(e.usage, e.reads) if not by_token else e.use_count for e in memory])
        if by_token:
            assert all(torch.allclose(a, b) and a.sum() > 0 for a, b in zip(*counted, strict=True))
        else:
            assert counted[0] == [(pytest.approx(u), r) for u, r in counted[1]] and counted[0][0][0] > 0

    def test_it_is_not_counted_without_need(self):
        memory = memory_of(SAME)
        L2Matching()(query_of(), memory, pairs_of([[True, True]]), 3)
        assert [(e.usage, e.reads) for e in memory] == [(0.0, 0)] * 3
