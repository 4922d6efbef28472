"""AOT's and DeAOT's propagation: memories, references, and what does not depend on what."""

import pytest
import torch

from vosplug.models.matching_heads import GatedPropagation, LongShortTermTransformer

HEADS = {"aot": lambda layers: LongShortTermTransformer(32, layers=layers, heads=2, hidden=64, radius=2),
         "deaot": lambda layers: GatedPropagation(32, layers=layers, radius=2)}
SIZE = (4, 5)


@pytest.fixture(params=[(name, layers) for name in HEADS for layers in (1, 3)], ids=lambda p: f"{p[0]}-{p[1]}")
def head(request):
    torch.manual_seed(0)
    name, layers = request.param
    return HEADS[name](layers).double().eval()


def maps(seed, rows=2):
    return torch.randn(rows, 32, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def reference(head, seed=1):
    return head.reference(maps(seed), maps(seed + 50))


def test_shapes(head):
    output, tokens = reference(head)
    layers = len(head.blocks)
    assert output.shape == (2, head.out_channels, *SIZE)
    assert head.out_channels == (32 * layers if isinstance(head, LongShortTermTransformer) else 64)
    widths = (32, 32) if isinstance(head, LongShortTermTransformer) else (16, 128)
    assert [tuple(x.shape for x in pair) for pair in tokens] == [tuple((2, 20, c) for c in widths)] * layers
    again, drafts = head(maps(2), [[pair, pair] for pair in tokens], tokens)
    assert again.shape == output.shape and len(drafts) == layers


def test_a_reference_is_propagation_from_its_own_keys_and_values(head):
    output, tokens = reference(head)
    same, drafts = head(maps(1), [[pair] for pair in tokens], tokens)
    assert torch.allclose(same, output, atol=1e-12)
    completed = head.complete(drafts, maps(51))
    assert all(torch.allclose(a, b, atol=1e-12)
               for ours, theirs in zip(completed, tokens, strict=True) for a, b in zip(ours, theirs, strict=True))


def test_identities_change_values_but_no_keys(head):
    _, drafts = head(maps(2), [[pair] for pair in reference(head)[1]], reference(head)[1])
    for (key, value), (same, other) in zip(head.complete(drafts, maps(8)), head.complete(drafts, maps(9)), strict=True):
        assert torch.equal(key, same) and not torch.allclose(value, other)
        if isinstance(head, GatedPropagation):
            assert torch.equal(value[..., :64], other[..., :64])


def test_twice_the_same_long_term_frame_is_once(head):
    """The mean over equal tokens is the token: copies in memory change nothing, another frame does."""
    tokens, others = reference(head)[1], reference(head, seed=4)[1]
    once = head(maps(2), [[pair] for pair in tokens], tokens)[0]
    twice = head(maps(2), [[pair, pair] for pair in tokens], tokens)[0]
    more = head(maps(2), [[pair, other] for pair, other in zip(tokens, others, strict=True)], tokens)[0]
    assert torch.allclose(once, twice, atol=1e-10) and not torch.allclose(once, more, atol=1e-3)


def test_rows_know_nothing_of_each_other(head):
    tokens = reference(head)[1]
    both = head(maps(2), [[pair] for pair in tokens], tokens)[0]
    own = [tuple(x[1:] for x in pair) for pair in tokens]
    alone = head(maps(2)[1:], [[pair] for pair in own], own)[0]
    assert torch.allclose(both[1:], alone, atol=1e-12)


def test_the_window_is_of_short_term_memory_only(head):
    """A change of the last frame far from a cell reaches it through self-attention alone: not in the first values."""
    tokens = reference(head)[1]
    far = [tuple(x.clone() for x in pair) for pair in tokens]
    far[0][1][:, -1] += 5.0  # the cell at the lower right
    block = head.blocks[0]
    seen = []
    block.short_term.register_forward_hook(lambda _m, _i, out: seen.append(out))
    for memory in (tokens, far):
        head(maps(2), [[pair] for pair in tokens], memory)
    changed = (seen[0] != seen[1]).any(dim=-1)[0].view(*SIZE)
    assert not changed[0].any() and not changed[:, :2].any() and changed[3, 4]


def test_training_drops_paths_and_channels(head):
    head.float().train()
    tokens = [tuple(x.float() for x in pair) for pair in reference(head.double())[1]]
    head.float()
    torch.manual_seed(1)
    outputs = [head(maps(2).float(), [[pair] for pair in tokens], tokens)[0] for _ in range(6)]
    assert any(not torch.equal(outputs[0], other) for other in outputs[1:])
    head.eval()
    outputs = [head(maps(2).float(), [[pair] for pair in tokens], tokens)[0] for _ in range(2)]
    assert torch.equal(*outputs)


def test_every_weight_gets_a_gradient(head):
    tokens = reference(head)[1]
    output, drafts = head(maps(2), [[pair] for pair in tokens], tokens)
    values = head.complete(drafts, maps(7))
    (output.square().sum() + sum(x.square().sum() for pair in values for x in pair)).backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_propagation_compiles_in_one_graph(head):
    head.float()
    tokens = [tuple(x.float() for x in pair) for pair in reference(head.double())[1]]
    head.float()
    compiled = torch.compile(head, fullgraph=True, backend="aot_eager")
    x, long_term = maps(2).float(), [[pair, pair] for pair in tokens]
    with torch.no_grad():
        ours, theirs = compiled(x, long_term, tokens)[0], head(x, long_term, tokens)[0]
    assert torch.allclose(ours, theirs, atol=1e-5)
