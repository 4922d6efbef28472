"""Triple, static and residual sparse convolutions on their own."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from vosplug.ops import has_extension

from vosplug.models.backbones.sparse_convs import (
    DenseConv,
    FrameContext,
    ResidualSparseConv,
    StaticSparseConv,
    TripleSparseConv,
    working_on,
)
from vosplug.models.backbones.sparse_convs.constructed import RandomPolicy
from vosplug.models.backbones.sparse_convs.gates import best_policy, gumbel_sigmoid, gumbel_softmax_policy
from vosplug.models.layers.build import FrozenBN, conv_norm_relu
from vosplug.utils.errors import ConfigError

KINDS = (TripleSparseConv, StaticSparseConv, ResidualSparseConv)
SKIP, REUSE, COMPUTE = 0, 1, 2


def layer_of(kind, training=False, seed=0, **options):
    torch.manual_seed(seed)
    options = {"kernel_size": 3, "padding": 1, **options}
    layer = kind(4, 6, **options).train(training)
    layer.name, layer.per_frame = "layer", True
    return layer


def always(layer, answer):
    """Make the gate give one answer everywhere."""
    nn.init.zeros_(layer.gate.weight)
    bias = torch.full_like(layer.gate.bias, -50.0)
    if len(bias) == 3:
        bias[answer] = 50
    elif answer == COMPUTE:
        bias[0] = 50
    layer.gate.bias.data = bias


def run(layer, frames, *, dense_first=True, objects=((0, 1),), store=None, call=None, grad=False):
    """Process frames; the first one densely. Returns copies of the outputs and the work."""
    store, work, outputs = {} if store is None else store, [], []
    with torch.set_grad_enabled(grad):
        for t, x in enumerate(frames):
            context = FrameContext(store, tuple(range(len(x))), objects, dense_first and t == 0, work)
            with working_on(context):
                out = (call or layer)(x)
                outputs.append(out if grad else out.clone())
    return outputs, work


def frames_of(count, rows=1, size=(9, 7), channels=4):
    torch.manual_seed(5)
    return [torch.randn(rows, channels, *size) for _ in range(count)]


@pytest.mark.parametrize("geometry", [dict(), dict(stride=2), dict(kernel_size=1, padding=0, bias=False)])
@pytest.mark.parametrize("kind", [TripleSparseConv, StaticSparseConv])
@pytest.mark.parametrize("training", [False, True])
def test_all_computed_is_the_dense_convolution_bit_by_bit(kind, geometry, training):
    layer = layer_of(kind, training, **geometry)
    always(layer, COMPUTE)
    frames = frames_of(3)
    outputs, work = run(layer, frames)
    assert all(torch.equal(out, layer.convolve(x)) for out, x in zip(outputs, frames, strict=True))
    assert all(w.counts() == (0, 0, w.sites) for w in work)


@pytest.mark.parametrize("training", [False, True])
def test_residual_with_everything_computed_equals_the_dense_convolution_but_for_rounding(training):
    layer = layer_of(ResidualSparseConv, training)
    always(layer, COMPUTE)
    frames = frames_of(3)
    outputs, _ = run(layer, frames)
    assert all(torch.allclose(out, layer.convolve(x), atol=1e-5) for out, x in zip(outputs, frames, strict=True))


@pytest.mark.parametrize("kind", [TripleSparseConv, ResidualSparseConv])
@pytest.mark.parametrize("training", [False, True])
def test_all_reused_are_the_previous_features(kind, training):
    layer = layer_of(kind, training)
    always(layer, REUSE)
    outputs, work = run(layer, frames_of(3))
    assert torch.equal(outputs[1], outputs[0]) and torch.equal(outputs[2], outputs[0])
    assert work[0].policy is None and all(w.counts() == (0, w.sites, 0) for w in work[1:])


@pytest.mark.parametrize("kind", [TripleSparseConv, StaticSparseConv])
@pytest.mark.parametrize("training", [False, True])
def test_all_skipped_is_zero(kind, training):
    layer = layer_of(kind, training)
    always(layer, SKIP)
    outputs, work = run(layer, frames_of(2))
    assert not outputs[0].eq(0).all() and outputs[1].eq(0).all()
    assert work[1].counts() == (work[1].sites, 0, 0)


def test_triple_is_equations_7_and_8():
    layer, frames = layer_of(TripleSparseConv), frames_of(3)
    nn.init.normal_(layer.gate.weight)
    outputs, work = run(layer, frames)
    for t in (1, 2):
        logits = F.conv2d(torch.cat([frames[t - 1], frames[t]], dim=1), layer.gate.weight, layer.gate.bias, padding=1)
        policy = logits.argmax(dim=1)
        assert torch.equal(work[t].policy.long(), policy) and len(policy.unique()) == 3
        kind = policy[:, None]
        expected = (kind == 2) * layer.convolve(frames[t]) + (kind == 1) * outputs[t - 1]
        assert torch.allclose(outputs[t], expected, atol=1e-5)


def test_static_is_its_gate():
    layer, frames = layer_of(StaticSparseConv), frames_of(2)
    outputs, work = run(layer, frames, dense_first=False)
    for x, out, done in zip(frames, outputs, work, strict=True):
        computed = layer.gate(x) >= 0
        assert 0 < computed.float().mean() < 1
        assert torch.allclose(out, computed * layer.convolve(x), atol=1e-5)
        assert done.counts() == (int((~computed).sum()), 0, int(computed.sum()))


def test_residual_is_skip_convolution():
    layer, frames = layer_of(ResidualSparseConv), frames_of(3)
    outputs, _ = run(layer, frames)
    for t in (1, 2):
        change = frames[t] - frames[t - 1]
        computed = layer.gate(change) >= 0
        expected = outputs[t - 1] + computed * F.conv2d(change, layer.weight, padding=1)
        assert torch.allclose(outputs[t], expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_learn_straight_through(kind):
    layer, frames = layer_of(kind, training=True), frames_of(2, rows=2)
    outputs, work = run(layer, frames, grad=True)
    (outputs[1].square().sum() + work[1].chosen).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    assert work[1].decided == work[1].sites and float(work[1].chosen.detach()) == work[1].counts()[2]


@pytest.mark.parametrize("kind", [TripleSparseConv, ResidualSparseConv])
@pytest.mark.parametrize("training", [False, True])
def test_rows_without_past_are_computed(kind, training):
    """An object that starts between two frames has no previous features; the others go on, wherever they are now."""
    layer, frames = layer_of(kind, training), frames_of(2)
    layer.per_frame = False
    always(layer, REUSE)
    store = {}
    first, _ = run(layer, [torch.cat([frames[0], -frames[0]])], objects=((0, 1), (0, 4)), store=store)
    second, work = run(layer, [torch.cat([frames[1], frames[1]])], dense_first=False, objects=((0, 4), (0, 9)),
                       store=store)
    assert torch.equal(second[0][:1], first[0][1:])
    assert torch.allclose(second[0][1:], layer.convolve(frames[1]), atol=1e-5)
    if training:
        assert work[0].decided == work[0].sites // 2 and float(work[0].chosen) == 0
    else:
        assert work[0].counts()[2] == work[0].sites // 2


@pytest.mark.parametrize("kind", [TripleSparseConv, ResidualSparseConv])
def test_features_of_another_size_are_not_used(kind):
    layer, store = layer_of(kind), {}
    always(layer, REUSE)
    run(layer, frames_of(1), store=store)
    small = frames_of(1, size=(5, 5))
    outputs, work = run(layer, small, dense_first=False, store=store)
    assert work[0].policy is None and torch.equal(outputs[0], layer.convolve(small[0]))


def test_rows_that_nobody_announced_are_an_error():
    layer = layer_of(TripleSparseConv)
    layer.per_frame = False
    with pytest.raises(RuntimeError, match="layer: an input of 3 rows came where 1 objects are processed"):
        run(layer, frames_of(1, rows=3))


def test_nothing_is_kept_in_the_layer():
    layer = layer_of(TripleSparseConv)
    before = {name: id(value) for name, value in vars(layer).items() if name != "_folded"}
    run(layer, frames_of(3))
    assert {name: id(value) for name, value in vars(layer).items() if name != "_folded"} == before


def test_gumbel_samples_follow_the_logits():
    torch.manual_seed(0)
    logits = torch.tensor([1.0, -1.0, 0.5]).log_softmax(dim=0)
    drawn = gumbel_softmax_policy(logits[None, :, None, None].expand(1, 3, 200, 200), tau=0.7)
    assert set(drawn.unique().tolist()) == {0.0, 1.0} and drawn.sum(dim=1).eq(1).all()
    assert torch.allclose(drawn.mean(dim=(0, 2, 3)), logits.exp(), atol=0.01)
    ones = gumbel_sigmoid(torch.full((1, 1, 200, 200), 0.8), tau=0.7)
    assert set(ones.unique().tolist()) == {0.0, 1.0}
    assert float(ones.mean()) == pytest.approx(torch.tensor(0.8).sigmoid().item(), abs=0.01)


def test_lower_temperatures_have_steeper_gradients_near_ties():
    def slope(tau):
        torch.manual_seed(0)
        logits = torch.zeros(1, 3, 50, 50, requires_grad=True)
        gumbel_softmax_policy(logits, tau)[:, 2].sum().backward()
        return float(logits.grad.abs().mean())
    assert slope(0.5) > slope(5) > slope(50)


def test_best_policy_is_arg_max():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 6, 6)
    assert torch.equal(best_policy(logits).long(), logits.argmax(dim=1))
    assert best_policy(torch.zeros(1, 3, 2, 2)).eq(COMPUTE).all()


@pytest.mark.parametrize("shares", [(0.1, 0.24), (0.0, 1.0), (1.0, 0.0)])
def test_constructed_policies_have_their_shares(shares):
    layer = layer_of(TripleSparseConv, shares=shares)
    _, work = run(layer, frames_of(2, size=(40, 60)))
    skipped, reused, computed = work[1].counts()
    assert (computed / 2400, reused / 2400) == pytest.approx(shares, abs=1e-3)
    assert skipped + reused + computed == 2400


@pytest.mark.parametrize("options, message", [(dict(shares=(0.6, 0.6)), "together at most 1"),
                                              (dict(tau=0.0), "must be positive"),
                                              (dict(padding="same"), "must be numbers")])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        layer_of(TripleSparseConv, **options)


# Inference with what follows folded in ------------------------------------------------------------------------------

def norm_of(kind):
    torch.manual_seed(1)
    if kind is None:
        return nn.Identity()
    norm = FrozenBN(6) if kind == "FrozenBN" else nn.BatchNorm2d(6)
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", [None, "BN", "FrozenBN"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("geometry", [dict(), dict(stride=2), dict(kernel_size=1, padding=0, bias=False)])
def test_folded_steps_equal_separate_ones(kind, norm, relu, geometry):
    """Over many frames, with sites changing between all policies."""
    layer, norm = layer_of(kind, **geometry), norm_of(norm)
    nn.init.normal_(layer.gate.weight)
    frames = frames_of(8, rows=2)
    outputs, work = run(layer, frames, call=lambda x: conv_norm_relu(layer, norm, x, relu))
    assert layer._folded is not None
    def separate(x):
        out = norm(layer(x))
        return F.relu(out) if relu else out
    expected, expected_work = run(layer, frames, call=separate)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))
    assert [w.counts() for w in work] == [w.counts() for w in expected_work]
    assert [w.macs for w in work] == [w.macs for w in expected_work]


def test_folded_weights_follow_the_weights():
    layer, frames = layer_of(TripleSparseConv), frames_of(2)
    always(layer, COMPUTE)
    call = lambda x: conv_norm_relu(layer, nn.Identity(), x, relu=False)  # noqa: E731
    before, _ = run(layer, frames, call=call)
    with torch.no_grad():
        layer.weight.mul_(2)
    after, _ = run(layer, frames, call=call)
    assert torch.allclose(after[1], layer.convolve(frames[1]), atol=1e-5)
    assert not torch.allclose(after[1], before[1], atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training, grad", [(True, False), (False, True)])
def test_folding_is_left_out_where_it_cannot_be(kind, training, grad):
    layer = layer_of(kind, training)
    run(layer, frames_of(2), call=lambda x: conv_norm_relu(layer, nn.Identity(), x), grad=grad)
    assert layer._folded is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relu", [False, True])
def test_group_norm_runs_behind_a_convolution_in_place(kind, relu):
    """It looks at all sites, so it cannot be folded; the convolution alone is."""
    layer, norm, frames = layer_of(kind), nn.GroupNorm(2, 6), frames_of(6, rows=2)
    nn.init.normal_(layer.gate.weight)
    outputs, _ = run(layer, frames, call=lambda x: conv_norm_relu(layer, norm, x, relu))
    assert layer._folded is not None and not layer._folded.relu
    expected, _ = run(layer, frames, call=lambda x: F.relu(norm(layer(x))) if relu else norm(layer(x)))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))


@pytest.mark.parametrize("channels, packs", [((16, 64), True), ((3, 5), False)])
def test_packed_dense_convolutions(channels, packs):
    """Layers with a Winograd form run on the kernels, in inference within a frame loop; all give the same."""
    torch.manual_seed(0)
    layer = DenseConv(*channels, 3, padding=1, packed=True).eval()
    x = torch.randn(2, channels[0], 9, 12)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=1)
    assert torch.equal(layer(x), expected) and layer._folded is None
    with torch.no_grad(), working_on(FrameContext({}, (0,), (), False, [])):
        out = layer(x)
        assert torch.allclose(out, expected, atol=1e-4)
        assert layer._folded.has_winograd is (packs and has_extension())
        layer.weight.mul_(2)
        assert torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-4)
    layer.train()
    with working_on(FrameContext({}, (0,), (), False, [])):
        assert layer(x).requires_grad and layer._folded is None
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_lists_of_sites_are_shared_by_layers_with_equal_policies():
    context = FrameContext({}, (0,), (), False, [])
    policy = torch.tensor([[[0, 1, 2], [2, 0, 0]]], dtype=torch.uint8)
    first = context.sites(policy)
    assert context.sites(policy) is first and context.sites(policy.clone()) is first
    other = policy.flip(2)
    assert context.sites(other) is not first and context.sites(other).index.tolist() == [0, 5]
    assert first.index.tolist() == [2, 3]


def test_buffers_of_dense_frames_are_used_again():
    layer, frames, store, pointers = layer_of(TripleSparseConv), frames_of(3), {}, []
    with torch.no_grad():
        for x in frames:
            with working_on(FrameContext(store, (0,), (), True, [])):
                out = conv_norm_relu(layer, nn.Identity(), x)
            pointers.append(out.data_ptr())
            assert torch.allclose(out, F.relu(layer.convolve(x)), atol=1e-5)
    assert len(set(pointers)) == 1 or layer._folded.prepared.packed is None


def test_random_policies_are_repeatable_and_have_their_shares():
    shape, device = (2, 60, 70), torch.device("cpu")
    first, again, other = RandomPolicy(0.5, 0.3, seed=1), RandomPolicy(0.5, 0.3, seed=1), RandomPolicy(0.5, 0.3, seed=2)
    one, two = first("a", shape, device), first("a", shape, device)
    assert torch.equal(one, again("a", shape, device)) and torch.equal(two, again("a", shape, device))
    assert not torch.equal(one, two) and not torch.equal(one, other("a", shape, device))
    assert not torch.equal(one, first("b", shape, device))
    assert [float((one == kind).float().mean()) for kind in (2, 1, 0)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_come_and_go_in_folded_steps(kind):
    layer, frames = layer_of(kind), frames_of(6, rows=2)
    nn.init.normal_(layer.gate.weight)
    layer.per_frame = False
    keys = [((0, 1), (0, 2)), ((0, 1), (0, 2)), ((0, 2), (0, 3)), ((0, 3), (0, 5)), ((0, 3), (0, 5))]
    norm = norm_of("BN")
    results = []
    for call in (lambda x: conv_norm_relu(layer, norm, x), lambda x: F.relu(norm(layer(x)))):
        store = {}
        results.append([run(layer, [x], dense_first=t == 0, objects=key, store=store, call=call)[0][0]
                        for t, (x, key) in enumerate(zip(frames, keys, strict=False))])
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*results, strict=True))


# Lean layers ---------------------------------------------------------------------------------------------------------

def bottleneck_end(lean):
    """A 3x3 convolution that keeps its output and the widening pointwise one behind it, with their norms."""
    torch.manual_seed(0)
    layers = [TripleSparseConv(4, 4, 3, padding=1, bias=False), TripleSparseConv(4, 12, 1, bias=False)]
    norms = [nn.BatchNorm2d(4), nn.BatchNorm2d(12)]
    for number, (layer, norm) in enumerate(zip(layers, norms, strict=True)):
        for tensor in (layer.weight.data, layer.gate.weight.data, norm.running_mean, norm.weight.data, norm.bias.data):
            tensor.normal_()
        layer.eval(), norm.eval()
        layer.name, layer.per_frame, layer.lean = f"layer{number}", True, lean
    return layers, norms


def run_bottleneck(parts, frames, shortcuts, dense, store=None):
    """Outputs of both layers and the second one's work, frame by frame."""
    (narrow, wide), (first, second) = parts
    store, outputs, work = {} if store is None else store, [], []
    with torch.no_grad():
        for t, (x, shortcut) in enumerate(zip(frames, shortcuts, strict=True)):
            done = []
            with working_on(FrameContext(store, tuple(range(len(x))), (), t in dense, done)):
                middle = conv_norm_relu(narrow, first, x)
                outputs += [middle.clone(), conv_norm_relu(wide, second, middle, shortcut=shortcut).clone()]
            work.append(done[1])
    return outputs, work


@pytest.mark.parametrize("dense", [{0}, {0, 3}, {0, 1, 5}])
def test_lean_layers_give_the_same_bit_by_bit(dense):
    """They keep inputs; the layer before, whose output those are, must not overwrite them."""
    frames, shortcuts = frames_of(8, rows=2), frames_of(8, rows=2, channels=12)
    expected, plain = run_bottleneck(bottleneck_end(False), frames, shortcuts, dense)
    others = {"sensory": torch.zeros(1)}  # what a method keeps beside the layers
    outputs, work = run_bottleneck(bottleneck_end(True), frames, shortcuts, dense, others)
    same = torch.equal if has_extension() else lambda a, b: torch.allclose(a, b, atol=1e-5)
    assert all(same(a, b) for a, b in zip(outputs, expected, strict=True))
    assert [w.counts() for w in work] == [w.counts() for w in plain]
    assert all(w.repeated == 0 for w in plain) and any(0 < w.repeated < w.counts()[1] for w in work)
    assert all(a.macs == b.macs + a.repeated * a.cost for a, b in zip(work, plain, strict=True))


def test_lean_layers_keep_fewer_values():
    frames, shortcuts = frames_of(3), frames_of(3, channels=12)
    kept = {}
    for lean in (False, True):
        store = {}
        _, work = run_bottleneck(bottleneck_end(lean), frames, shortcuts, {0}, store)
        kept[lean] = {name: tensor.numel() for name, tensor in store["layer1"].tensors.items()}
        assert store["layer0"].tensors["kept"].numel() == 4 * 63
    assert kept[False]["kept"] == 12 * 63
    made = work[-1].counts()[2] + work[-1].repeated
    assert kept[True]["inputs"] == 4 * made and kept[True]["index"] == made < 63


def test_lean_layers_compute_where_rows_are_others():
    """Inputs of sites, side by side, belong to their frames: another batch starts anew."""
    parts, store = bottleneck_end(True), {}
    frames, shortcuts = frames_of(2, rows=2), frames_of(2, rows=2, channels=12)
    run_bottleneck(parts, frames, shortcuts, {0}, store)
    _, work = run_bottleneck(parts, [frames[0][:1]], [shortcuts[0][:1]], set(), store)
    assert work[0].policy is None


def test_only_widening_pointwise_convolutions_of_frames_keep_inputs():
    lean = [dict(), dict(kernel_size=1), dict(kernel_size=1, stride=2, padding=0), dict(kernel_size=1, padding=0)]
    layers = [layer_of(TripleSparseConv, **options) for options in lean]
    layers += [layer_of(TripleSparseConv, kernel_size=1, padding=0), TripleSparseConv(6, 4, 1)]
    for layer in layers:
        layer.lean = True
    layers[-2].per_frame = False
    assert [layer.keeps_output for layer in layers] == [True, True, True, False, True, True]


@pytest.mark.skipif(not has_extension(), reason="needs the compiled operators")
def test_lean_layers_give_up_their_weights():
    parts = bottleneck_end(True)
    frames, shortcuts = frames_of(2), frames_of(2, channels=12)
    (narrow, wide), _ = parts
    run_bottleneck(parts, frames, shortcuts, {0})
    assert narrow.weight.is_meta and wide.weight.is_meta and not narrow.gate.weight.is_meta
    run_bottleneck(parts, frames, shortcuts, {0})
    wide.eval()
    with pytest.raises(RuntimeError, match="holds its weight in packed form only and cannot be trained"):
        wide.train()
    with pytest.raises(RuntimeError, match="cannot be saved"):
        wide.state_dict()
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        wide.load_state_dict({"weight": torch.zeros(12, 4, 1, 1)}, strict=False)
    with pytest.raises(RuntimeError, match="cannot be copied"):
        copy.deepcopy(wide)
    with pytest.raises(RuntimeError, match="cannot be computed outside of inference on a video"):
        conv_norm_relu(wide, nn.Identity(), frames[0])
    with pytest.raises(RuntimeError, match="cannot be computed outside of inference on a video"):
        wide(frames[0])
    with pytest.raises(RuntimeError, match="cannot be packed anew, for another type or a changed norm"):
        run_bottleneck(parts, [x.bfloat16() for x in frames], [s.bfloat16() for s in shortcuts], {0})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", [None, "BN", "GN"])
@pytest.mark.parametrize("relu", [False, True])
def test_shortcuts_come_before_the_activation(kind, norm, relu):
    layer, norm = layer_of(kind), nn.GroupNorm(2, 6) if norm == "GN" else norm_of(norm)
    nn.init.normal_(layer.gate.weight)
    frames, shortcut = frames_of(4), frames_of(1, channels=6)[0]
    outputs, _ = run(layer, frames, call=lambda x: conv_norm_relu(layer, norm, x, relu, shortcut))
    def separate(x):
        out = norm(layer(x)) + shortcut
        return F.relu(out) if relu else out
    expected, _ = run(layer, frames, call=separate)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))


def test_lean_dense_convolutions_hold_transformed_weights_only_where_they_pay():
    layer = DenseConv(64, 64, 3, padding=1, packed=True).eval()
    small, large = torch.randn(1, 64, 9, 9), torch.randn(1, 64, 40, 40)
    with torch.no_grad(), working_on(FrameContext({}, (0,), (), False, [])):
        for lean, x, packs in ((True, small, False), (True, large, True), (False, small, True)):
            layer.lean, layer._folded = lean, None
            assert torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-4) or packs
            assert (layer._folded is not None) is packs
            if lean and packs and has_extension():
                assert layer.weight.is_meta
                parts = [layer(large[..., i:i + 12])[..., 1:-1] for i in (0, 10)]  # a smaller frame than the first one
                assert torch.allclose(torch.cat(parts, dim=3), layer(large)[..., 1:21], atol=1e-4)
                layer = DenseConv(64, 64, 3, padding=1, packed=True).eval()
        last = DenseConv(64, 1, 3, padding=1, packed=True).eval()  # no transformed form: it needs its own weight
        last.lean = True
        assert torch.equal(last(large), F.conv2d(large, last.weight, last.bias, padding=1)) and not last.weight.is_meta
