"""Heads that read memories at moved points."""

import json

import pytest
import torch
from vosplug.ops import reference_points

from tests.datasets.trees import davis_tree
from tests.models.matching_heads.helpers import CK, GRID, SAME, memory_of, naive, pairs_of, query_of
from vosplug.cli.test import main as run_test
from vosplug.cli.train import main as train
from vosplug.models.matching_heads import DeformableMatching, L2Matching
from vosplug.models.matching_heads.sampled_memory import SampledEntry, SampledMemory, kept_inside, sample, spread
from vosplug.models.memories import LongTermMemory, MemoryEntry
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.errors import ConfigError, InputError

BOTH = [[True, True]]


def head_of(head=None, moving=True, **options):
    torch.manual_seed(0)
    made = DeformableMatching(head or dict(type="L2Matching"), key_channels=CK, **options).double().eval()
    if moving and made.network is not None:
        torch.nn.init.normal_(made.network.point.weight, std=0.5)
    return made


@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_is_the_head_itself_where_every_cell_is_a_point(top_k, groups):
    inner = dict(type="L2Matching", top_k=top_k, prior=dict(type="LocalityPrior", previous=0.7, older=0.2))
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of(BOTH)
    plain = L2Matching(**{k: x for k, x in inner.items() if k != "type"}).double().eval()
    ours = head_of(inner, moving=False, grid_factor=1, groups=groups)
    assert torch.allclose(ours(query, memory, pairs, 3), plain(query, memory, pairs, 3), atol=1e-10)


def test_it_reads_the_sampled_entries_with_the_head():
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of(BOTH)
    head = head_of(groups=2)
    offsets = head.offsets_of(query).detach()
    sampled = [MemoryEntry(e.frame, {"key": sample(e["key"], offsets, GRID)},
                           {"value": sample(e["value"].flatten(0, 1), offsets.expand(2, -1, -1, -1, -1), GRID)[None]},
                           valid=e.valid, grid=(1, 2)) for e in memory]
    with torch.no_grad():
        got = head(query, memory, pairs, 3)
    assert torch.allclose(got, naive(query, sampled, pairs), atol=1e-10)
    assert offsets.abs().max() > 0.1 and not torch.allclose(got, L2Matching()(query, memory, pairs, 3), atol=1e-3)


def test_entries_without_a_grid_are_read_as_they_are():
    memory, query = memory_of(SAME, grids=[None, GRID, GRID]), query_of()
    sampled = list(SampledMemory(memory, head_of().offsets_of(query), ("key",)))
    assert sampled[0] is next(iter(memory))
    assert [e.tokens for e in sampled] == [6, 2, 2] and all(isinstance(e, SampledEntry) for e in sampled[1:])


def test_channels_that_groups_do_not_divide_are_the_mean_over_the_groups():
    x, offsets = torch.randn(1, 3, 6, dtype=torch.float64), torch.randn(1, 2, 2, 1, 2, dtype=torch.float64)
    each = [sample(x, offsets[:, s : s + 1], GRID) for s in range(2)]
    assert torch.allclose(sample(x, offsets, GRID), (each[0] + each[1]) / 2)


def test_weights_of_comparisons_are_read_on_the_map():
    """Off the map keys read zeros; a shrinkage of zero would make such a token the most similar of all."""
    memory = memory_of([[[True]]])
    entry = next(iter(memory))
    entry.frame_tensors["shrinkage"] = torch.full((1, 1, 6), 3.0, dtype=torch.float64)
    far = torch.full((1, 4, 2, 1, 2), 40.0, dtype=torch.float64)
    (found,) = SampledMemory(memory, far, ("key", "shrinkage"))
    assert not found["key"].any() and not found["value"].any()
    assert torch.allclose(found["shrinkage"], torch.full((1, 1, 2), 3.0, dtype=torch.float64))
    points = reference_points(GRID, (1, 2), dtype=torch.float64).permute(2, 0, 1) + kept_inside(far, GRID)
    assert torch.equal(points[0, 0].flatten(1), torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64))


def test_tokens_lie_at_their_reference_points():
    memory, query = memory_of(SAME), query_of()
    entry = next(iter(SampledMemory(memory, head_of().offsets_of(query), ("key",))))
    y, x = entry.positions(GRID)
    assert torch.stack([y, x], dim=1).tolist() == reference_points(GRID, (1, 2)).flatten(0, 1).tolist()
    assert entry.positions((5, 5)) is None


def test_spreading_is_the_adjoint_of_sampling():
    torch.manual_seed(0)
    offsets, mass = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 3, 2, 1, 2), (2, 2)))
    x = torch.randn(2, 1, 6, dtype=torch.float64)
    read = (sample(x, offsets, GRID)[:, 0] * mass).sum(dim=1)
    assert torch.allclose(read, (x[:, 0] * spread(mass, offsets, GRID)).sum(dim=1))


def test_memories_are_told_what_was_read_of_their_own_tokens():
    memory, query, told = memory_of(SAME, grids=[None, GRID, GRID]), query_of(), []
    memory.note_reading = lambda entries, mass, share: told.append((entries, mass(), share))
    head = head_of(max_offset=0.4)
    with torch.no_grad():
        head(query, memory, pairs_of(BOTH), 3)
    (entries, mass, share), = told
    assert entries == list(memory) and mass.shape == (1, 18) and share == 1
    assert float(mass.sum()) == pytest.approx(6) and (mass >= 0).all()  # one per query: no point is off the map


def test_a_long_term_memory_is_condensed_behind_it():
    head = head_of(dict(type="AnisotropicL2Matching")).float()
    memory = LongTermMemory(every=1, max_mid_term_frames=3, min_mid_term_frames=2, num_prototypes=4).new(
        similarity=head.similarity_of)
    pairs = pairs_of([[True]])
    for frame in range(6):
        fresh = memory_of([[[True]]], seed=frame, dtype=torch.float32)
        entry = next(iter(fresh))
        memory.add(MemoryEntry(frame, {**entry.frame_tensors, "shrinkage": torch.rand(1, 1, 6) + 1},
                               entry.object_tensors, valid=entry.valid, grid=GRID, prompted=frame == 0))
        with torch.no_grad():
            out = head(query_of(dtype=torch.float32), memory, pairs, frame, selection=torch.rand(1, CK, *GRID))
        assert torch.isfinite(out).all()
    assert memory.long_term_tokens and all(e.use_count.sum() > 0 for e in memory.working[:1])


def test_points_are_learnt():
    head, memory, query = head_of(moving=False), memory_of(SAME), query_of()
    for _ in range(2):
        head.zero_grad()
        head(query, memory, pairs_of(BOTH), 3).square().sum().backward()
        with torch.no_grad():
            for parameter in head.parameters():
                parameter -= 1e-2 * parameter.grad
    assert all(p.grad.abs().max() > 0 for p in head.network.parameters())


def test_bad_options():
    with pytest.raises(ConfigError, match="must compare keys with those of a memory .* got GatedPropagation"):
        DeformableMatching(dict(type="GatedPropagation"), key_channels=CK)
    with pytest.raises(ConfigError, match="DeformableMatching.groups must divide the 4 channels of the query, got 3"):
        head_of(groups=3)
    with pytest.raises(InputError, match="grid_factor 3 is larger than the map of 2x3 cells"):
        head_of(grid_factor=3)(query_of(), memory_of(SAME), pairs_of(BOTH), 3)


@pytest.mark.slow
def test_a_small_stcn_is_trained_and_tested_by_a_change_of_its_config(tmp_path):
    """50 iterations of ``stcn_small`` as docs/deformable.md has it, in smaller frames."""
    change = ("model.matching_head=dict(_delete_=True, type='DeformableMatching', "
              "head=dict(type='L2Matching', prior=dict(type='LocalityPrior')))")
    options = ["train_cfg.max_iters=50", "train_dataloader.batch_size=2", "train_dataloader.num_workers=0",
               "train_dataloader.dataset.size=(96,96)", "optim_wrapper.amp=None"]
    run, data = tmp_path / "run", davis_tree(tmp_path / "davis")
    assert train(["stcn_small", "--work-dir", str(run), "--device", "cpu", "--cfg-options", change, *options]) == 0
    weights = load_checkpoint_file(run / "final.pth")["state_dict"]
    assert all(torch.isfinite(x).all() for x in weights.values() if x.is_floating_point())
    assert weights["matching_head.network.point.weight"].abs().max() > 0  # points have begun to move
    assert run_test(["stcn_small", str(run / "final.pth"), "--eval", "davis", "--data-root", str(data), "--device",
                     "cpu", "--json", str(tmp_path / "scores.json"), "--cfg-options", change]) == 0
    assert 0 <= json.loads((tmp_path / "scores.json").read_text())["J&F-Mean"] <= 1
