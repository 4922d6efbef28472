"""DeAOT with gated deformable attention: the same network where nothing moves, fewer keys where something does."""

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from vosplug.ops.deformable_attention import functions

from tests.contracts.helpers import boxes, build_model, random_frames, track
from vosplug.models.layers.attention import attend
from vosplug.models.matching_heads import GatedPropagation
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_weights, with_new_parts
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError

LAYER = "GatedDeformableAttention"
SIZE = (4, 5)
PLACES = ("long_term", "short_term", "self")


def head_of(layers=2, **options):
    torch.manual_seed(0)
    return GatedPropagation(32, layers=layers, radius=2, drop_path=0.0, dropout=0.0,
                            deformable=dict(type=LAYER, **options)).double().eval()


def maps(seed, rows=2):
    return torch.randn(rows, 32, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def reference(head, seed=1):
    return head.reference(maps(seed), maps(seed + 50))


def moved(head):
    """The same head, with points out of their places."""
    for name, parameter in head.named_parameters():
        if name.endswith("point.weight"):
            torch.nn.init.normal_(parameter, std=0.5)
    return head


@pytest.fixture(scope="module")
def vanilla():
    """DeAOT-T, and what it says of four frames."""
    model = build_model(load_config("deaott.py").model, 0).double()
    return model, masks_of(model)


def masks_of(model):
    frames = random_frames(4, (97, 129)).double()
    model.data_preprocessor.double()
    return track(model, frames, {0: ((1, 2), boxes(2, (97, 129)).double())})


@pytest.mark.parametrize("options", [
    dict(groups=1), dict(groups=4), dict(groups=4, resample="keys_values"), dict(groups=8, norm="LN", max_offset=2.0),
    dict(groups=4, places=("long_term",)), dict(groups=4, places=("short_term", "self"))])
def test_deaot_t_stays_what_it_is_where_every_cell_is_a_point(vanilla, options):
    model, expected = vanilla
    config = load_config("deformable_deaott.py").model
    config.matching_head.deformable = dict(type=LAYER, grid_factor=1, **options)
    ours = build_model(config, 3).double()
    state, new = with_new_parts(ours, model.state_dict())
    load_weights(ours, state)
    places = options.get("places", PLACES)
    assert {name.split(".")[5] for name in new} == set(places)
    assert all(name.startswith("matching_head.blocks.0.deformable.networks.") for name in new)
    for got, want in zip(masks_of(ours), expected, strict=True):
        assert torch.allclose(got, want, atol=1e-10, rtol=0)


def test_a_trained_deaot_lacks_nothing_but_offset_networks(vanilla):
    model, _ = vanilla
    ours = SEGMENTORS.build(load_config("deformable_deaott.py").model)
    with pytest.raises(CheckpointError, match="9 missing"):
        load_weights(ours, model.state_dict())
    state, new = with_new_parts(ours, model.state_dict())
    assert len(new) == 3 * 3 and state.keys() == ours.state_dict().keys()
    assert with_new_parts(ours, state) == (state, [])


def test_offsets_and_fewer_points_change_what_is_said():
    heads = [head_of(grid_factor=g) for g in (1, 2)]
    heads[1].load_state_dict(heads[0].state_dict())
    outputs = [reference(head)[0] for head in heads]
    outputs.append(reference(moved(copy.deepcopy(heads[1])))[0])
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)
    assert not torch.allclose(outputs[1], outputs[2], atol=1e-3)


@pytest.mark.parametrize("options, names, recent_only, widths", [
    (dict(), ("x",), (), ([64], [96])),
    (dict(resample="keys_values"), ("k", "v"), (), ([16, 128], [16, 128])),
    (dict(places=("self",)), ("k", "v"), (), ([16, 128], [16, 128])),
    (dict(places=("long_term", "self")), ("x", "k", "v"), ("k", "v"), ([64, 16, 128], [96, 16, 128])),
    (dict(places=("short_term",)), ("x", "k", "v"), ("x",), ([64, 16, 128], [96, 16, 128]))])
def test_the_memory_keeps_what_is_sampled(options, names, recent_only, widths):
    head = moved(head_of(**options))
    output, tokens = reference(head)
    assert (head.tensors, head.recent_only) == (names, recent_only)
    assert [[x.shape[-1] for x in layer] for layer in tokens] == list(widths)
    again, drafts = head(maps(1), [[layer] for layer in tokens], tokens)
    assert torch.allclose(again, output, atol=1e-12)
    for ours, theirs in zip(head.complete(drafts, maps(51)), tokens, strict=True):
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("options", [
    dict(), dict(resample="keys_values"), dict(places=("long_term", "self")), dict(places=("short_term",))])
def test_videos_are_the_same_whether_the_memory_drops_what_is_not_read_or_not(options):
    frames, prompt = random_frames(7, (33, 49)), {0: ((1, 2), boxes(2, (33, 49)))}
    config = SEGMENTORS.example("DeAOT", 1)
    config["matching_head"]["deformable"] = dict(type=LAYER, **options)
    model = build_model(config, 0)
    moved(model.matching_head)
    state = model.init_state()
    ours = track(model, frames, prompt, state=state)
    kept = {name[0] for entry in state.memory.kept[:-1] for name in entry.object_tensors}
    assert kept == set(model.matching_head.tensors) - set(model.matching_head.recent_only)
    model.matching_head.recent_only = ()
    theirs = track(model, frames, prompt)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_twice_the_same_long_term_frame_is_once():
    head = moved(head_of())
    tokens, others = reference(head)[1], reference(head, seed=4)[1]
    read = [head(maps(2), [[layer] * n for layer in tokens], tokens)[0] for n in (1, 2)]
    more = head(maps(2), [[a, b] for a, b in zip(tokens, others, strict=True)], tokens)[0]
    assert torch.allclose(*read, atol=1e-10) and not torch.allclose(read[0], more, atol=1e-3)


def test_offsets_depend_on_the_current_frame_alone():
    head, seen = moved(head_of(layers=1)), []
    head.blocks[0].deformable.networks["long_term"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    for seed in (1, 4):
        tokens = reference(head, seed)[1]
        head(maps(2), [[layer, layer] for layer in tokens], tokens)
    assert len(seen) == 4 and torch.equal(seen[1], seen[3]) and not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("options", [dict(), dict(norm="LN"), dict(resample="keys_values", max_offset=1.0)])
def test_offset_networks_learn(options):
    """Their last convolution starts at zero: the others get their first gradient in the second step."""
    head = head_of(**options).float()
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        _, tokens = head.reference(maps(1).float(), maps(51).float())
        output, _ = head(maps(2).float(), [[layer] for layer in tokens], tokens)
        (output - maps(3).float().repeat(1, 2, 1, 1)).square().mean().backward()
        optimizer.step()
    networks = [p for name, p in head.named_parameters() if ".networks." in name]
    assert len(networks) == 2 * 3 * (5 if options.get("norm") else 3)
    assert all(p.grad.abs().max() > 0 and torch.isfinite(p.grad).all() for p in networks)


@pytest.mark.parametrize("bias", [True, False])
def test_without_relative_bias_there_is_no_window(bias):
    head = moved(head_of(layers=1, relative_bias=bias))
    assert ("blocks.0.short_term.offset_logits.weight" in head.state_dict()) == bias
    tokens, seen = reference(head)[1], []
    head.blocks[0].short_term.register_forward_hook(lambda _m, _i, out: seen.append(out))
    far = [tuple(x.clone() for x in layer) for layer in tokens]
    far[0][0][:, -1] += 5.0  # the lower right cell
    for memory in (tokens, far):
        head(maps(2), [[layer] for layer in tokens], memory)
    assert (seen[0][0, 0] != seen[1][0, 0]).any() == (not bias)


def test_it_compiles_in_one_graph():
    head = moved(head_of()).float()
    _, tokens = head.reference(maps(1).float(), maps(51).float())
    compiled = torch.compile(head, fullgraph=True, backend="aot_eager")
    x, long_term = maps(2).float(), [[layer, layer] for layer in tokens]
    with torch.no_grad():
        ours, theirs = compiled(x, long_term, tokens)[0], head(x, long_term, tokens)[0]
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.fixture
def fake():
    """Tensors without numbers; the grids that operators keep are not mixed with them."""
    functions._normal_grid.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    functions._normal_grid.cache_clear()


def work(config, frames, **options):
    """G multiply-accumulates of one propagation at 480x854, with so many long-term frames, and of what it memorises."""
    settings = load_config(f"{config}.py").model
    if options:
        settings.matching_head.deformable = dict(type=LAYER, **options)
    head = SEGMENTORS.build(settings).eval().matching_head
    x, identity = torch.empty(2, 1, 256, 31, 54).unbind(0)
    with torch.no_grad():
        _, tokens = head.reference(x, identity)
        with FlopCounterMode(display=False) as counter:
            _, drafts = head(x, [[layer] * frames for layer in tokens], tokens)
            head.complete(drafts, identity)
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("config, frames, resample, less", [
    ("deaott", 1, "keys_values", 5.09), ("deaott", 1, "features", 4.96), ("deaotl", 10, "keys_values", 79.9)])
def test_work_that_is_saved(fake, config, frames, resample, less):
    """Long-term and self attention with a quarter of the keys; a frame of DeAOT-T is 24.99 G, of DeAOT-L 135.8 G."""
    ours = work(config, frames, places=("long_term", "self"), resample=resample)
    assert work(config, frames) - ours == pytest.approx(less, rel=0.03)


def test_work_of_one_attention(fake):
    query, value = torch.empty(1, 1, 1674, 128), torch.empty(1, 1, 1674, 1024)
    found = []
    for count in (1674, 432):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            attend(query, [query[:, :, :count]], [value[:, :, :count]])
        found.append(counter.get_total_flops() / 2e9)
    assert found == pytest.approx([3.228, 0.833], abs=5e-4) and found[0] / found[1] == pytest.approx(3.875)
