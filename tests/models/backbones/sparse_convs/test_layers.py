"""Triple, static and residual sparse convolutions on their own."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from vosplug.ops import has_extension

from vosplug.models.backbones.sparse_convs import DenseConv, ResidualSparseConv, StaticSparseConv, TripleSparseConv
from vosplug.models.backbones.sparse_convs.constructed import ClusteredPolicy, RandomPolicy
from vosplug.models.backbones.sparse_convs.gates import best_policy, gumbel_sigmoid, gumbel_softmax_policy
from vosplug.models.backbones.sparse_convs.kept import sites_of
from vosplug.models.frame_run import FrameRun
from vosplug.models.layers.build import FrozenBN, conv_norm_relu
from vosplug.structures import Rows, VideoState
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


def rows_of(keys):
    """Rows with these keys, as far as layers look at them."""
    batch = torch.tensor([b for b, _ in keys], dtype=torch.long)
    return Rows(batch, torch.arange(len(keys)), tuple(keys), (1, len(keys)))


def frame_run(state=None, dense=False, training=False, keys=((0, 1),)):
    """A run of a frame, in which the rows of objects are those of ``keys``."""
    run = FrameRun(state or VideoState())
    run.plan["dense"], run.training, run.rows = dense, training, None if keys is None else rows_of(keys)
    return run


def dense_conv(layer, x, bias=True):
    """The dense convolution with the weights of a layer."""
    return F.conv2d(x, layer.weight, layer.bias if bias else None, layer.stride, layer.padding, layer.dilation)


def run(layer, frames, *, dense_first=True, objects=((0, 1),), state=None, call=None, grad=False):
    """Process frames; the first one densely. Returns copies of the outputs and the work.

    With ``grad``, and in training, the layer runs with gradients; else, as in inference, on packed weights.
    """
    state, work, outputs = state or VideoState(batch_size=len(frames[0])), [], []
    with torch.set_grad_enabled(grad):
        for t, x in enumerate(frames):
            training = layer is not None and layer.training
            with frame_run(state, dense_first and t == 0, training, objects).working() as done:
                out = (call or layer)(x)
                outputs.append(out if grad else out.clone())
            work += done.notes
    return outputs, work


def frames_of(count, rows=1, size=(9, 7), channels=4):
    torch.manual_seed(5)
    return [torch.randn(rows, channels, *size) for _ in range(count)]


@pytest.mark.parametrize("geometry", [dict(), dict(stride=2), dict(kernel_size=1, padding=0, bias=False)])
@pytest.mark.parametrize("kind", [TripleSparseConv, StaticSparseConv])
@pytest.mark.parametrize("training, grad", [(False, False), (False, True), (True, False), (True, True)])
def test_all_computed_is_the_dense_convolution(kind, geometry, training, grad):
    """Bit by bit with the executor that learns, to rounding with the one of inference."""
    layer = layer_of(kind, training, **geometry)
    always(layer, COMPUTE)
    frames = frames_of(3)
    outputs, work = run(layer, frames, grad=grad)
    exactly = torch.equal if training or grad else lambda a, b: torch.allclose(a, b, atol=1e-5)
    assert all(exactly(out, dense_conv(layer, x)) for out, x in zip(outputs, frames, strict=True))
    assert all(w.counts() == (0, 0, w.sites) for w in work)


@pytest.mark.parametrize("training", [False, True])
def test_residual_with_everything_computed_equals_the_dense_convolution_but_for_rounding(training):
    layer = layer_of(ResidualSparseConv, training)
    always(layer, COMPUTE)
    frames = frames_of(3)
    outputs, _ = run(layer, frames)
    assert all(torch.allclose(out, dense_conv(layer, x), atol=1e-5) for out, x in zip(outputs, frames, strict=True))


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
        expected = (kind == 2) * dense_conv(layer, frames[t]) + (kind == 1) * outputs[t - 1]
        assert torch.allclose(outputs[t], expected, atol=1e-5)


def test_static_is_its_gate():
    layer, frames = layer_of(StaticSparseConv), frames_of(2)
    outputs, work = run(layer, frames, dense_first=False)
    for x, out, done in zip(frames, outputs, work, strict=True):
        computed = layer.gate(x) >= 0
        assert 0 < computed.float().mean() < 1
        assert torch.allclose(out, computed * dense_conv(layer, x), atol=1e-5)
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
    state = VideoState()
    first, _ = run(layer, [torch.cat([frames[0], -frames[0]])], objects=((0, 1), (0, 4)), state=state)
    second, work = run(layer, [torch.cat([frames[1], frames[1]])], dense_first=False, objects=((0, 4), (0, 9)),
                       state=state)
    assert torch.equal(second[0][:1], first[0][1:])
    assert torch.allclose(second[0][1:], dense_conv(layer, frames[1]), atol=1e-5)
    if training:
        assert work[0].decided == work[0].sites // 2 and float(work[0].chosen) == 0
    else:
        assert work[0].counts()[2] == work[0].sites // 2


@pytest.mark.parametrize("kind", [TripleSparseConv, ResidualSparseConv])
def test_features_of_another_size_are_not_used(kind):
    layer, state = layer_of(kind), VideoState()
    always(layer, REUSE)
    run(layer, frames_of(1), state=state)
    small = frames_of(1, size=(5, 5))
    outputs, work = run(layer, small, dense_first=False, state=state)
    assert work[0].policy is None and torch.allclose(outputs[0], dense_conv(layer, small[0]), atol=1e-5)


def test_rows_that_nobody_announced_are_an_error():
    layer = layer_of(TripleSparseConv)
    layer.per_frame = False
    with pytest.raises(RuntimeError, match="layer: an input of 3 rows came where 1 rows of objects are processed"):
        run(layer, frames_of(1, rows=3))


def test_nothing_is_kept_in_the_layer():
    layer = layer_of(TripleSparseConv)
    before = {name: id(value) for name, value in vars(layer).items()}
    run(layer, frames_of(3))
    assert {name: id(value) for name, value in vars(layer).items()} == before  # packed weights are in their cache


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
    layer = layer_of(TripleSparseConv)
    layer.forced = ClusteredPolicy(*shares)
    _, work = run(layer, frames_of(2, size=(40, 60)))
    skipped, reused, computed = work[1].counts()
    assert (computed / 2400, reused / 2400) == pytest.approx(shares, abs=1e-3)
    assert skipped + reused + computed == 2400


@pytest.mark.parametrize("options, message", [(dict(tau=0.0), "must be positive"),
                                              (dict(padding="same"), "must be numbers")])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        layer_of(TripleSparseConv, **options)


@pytest.mark.parametrize("shares", [(0.6, 0.6), (-0.1, 0.2)])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(ConfigError, match="together at most 1"):
        ClusteredPolicy(*shares)


# Inference on packed weights, with what follows folded in -----------------------------------------------------------

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
def test_both_executors_give_the_same(kind, norm, relu, geometry):
    """One step on packed weights, and separate ones with gradients, over many frames with all kinds of sites."""
    layer, norm = layer_of(kind, **geometry), norm_of(norm)
    nn.init.normal_(layer.gate.weight)
    frames = frames_of(8, rows=2)
    outputs, work = run(layer, frames, call=lambda x: conv_norm_relu(layer, norm, x, relu))
    assert layer._packed.conv is not None
    def separate(x):
        out = norm(layer(x))
        return F.relu(out) if relu else out
    expected, expected_work = run(layer, frames, call=separate, grad=True)
    assert expected[-1].requires_grad
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))
    assert [w.counts() for w in work] == [w.counts() for w in expected_work]
    assert [w.macs for w in work] == [w.macs for w in expected_work]


def test_packed_weights_follow_the_weights():
    layer, frames = layer_of(TripleSparseConv), frames_of(2)
    always(layer, COMPUTE)
    call = lambda x: conv_norm_relu(layer, nn.Identity(), x, relu=False)  # noqa: E731
    before, _ = run(layer, frames, call=call)
    with torch.no_grad():
        layer.weight.mul_(2)
    after, _ = run(layer, frames, call=call)
    assert torch.allclose(after[1], dense_conv(layer, frames[1]), atol=1e-5)
    assert not torch.allclose(after[1], before[1], atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training, grad", [(True, False), (False, True)])
def test_packed_weights_are_left_out_where_they_cannot_serve(kind, training, grad):
    layer = layer_of(kind, training)
    run(layer, frames_of(2), call=lambda x: conv_norm_relu(layer, nn.Identity(), x), grad=grad)
    assert layer._packed.conv is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relu", [False, True])
def test_group_norm_runs_behind_a_convolution_in_place(kind, relu):
    """It looks at all sites, so it cannot be folded; the convolution alone is."""
    layer, norm, frames = layer_of(kind), nn.GroupNorm(2, 6), frames_of(6, rows=2)
    nn.init.normal_(layer.gate.weight)
    outputs, _ = run(layer, frames, call=lambda x: conv_norm_relu(layer, norm, x, relu))
    assert layer._packed.conv is not None and not layer._packed.conv.relu
    expected, _ = run(layer, frames, call=lambda x: F.relu(norm(layer(x))) if relu else norm(layer(x)), grad=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))


@pytest.mark.parametrize("channels, packs", [((16, 64), True), ((3, 5), False)])
def test_packed_dense_convolutions(channels, packs):
    """Layers with a Winograd form run on the kernels, in inference within a frame loop; all give the same."""
    torch.manual_seed(0)
    layer = DenseConv(*channels, 3, padding=1).eval()
    x = torch.randn(2, channels[0], 9, 12)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=1)
    assert torch.equal(layer(x), expected) and layer._packed.conv is None
    with torch.no_grad(), frame_run().working():
        out = layer(x)
        assert torch.allclose(out, expected, atol=1e-4)
        assert (layer._packed.conv is not None) is (packs and has_extension())
        if packs and has_extension():  # what always computes all sites holds one form of its weights
            assert layer._packed.conv.prepared.packed.weight.numel() == 0
        layer.weight.mul_(2)
        assert torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-4)
    layer.train()
    with frame_run().working():
        assert layer(x).requires_grad and layer._packed.conv is None
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_lists_of_sites_are_shared_by_layers_with_equal_policies():
    policy = torch.tensor([[[0, 1, 2], [2, 0, 0]]], dtype=torch.uint8)
    with frame_run().working():
        first = sites_of(policy)
        assert sites_of(policy) is first and sites_of(policy.clone()) is first
        other = policy.flip(2)
        assert sites_of(other) is not first and sites_of(other).index.tolist() == [0, 5]
        assert first.index.tolist() == [2, 3]
    with frame_run().working():
        assert sites_of(policy) is not first


def test_buffers_of_dense_frames_are_used_again():
    layer, frames, state, pointers = layer_of(TripleSparseConv), frames_of(3), VideoState(), []
    with torch.no_grad():
        for x in frames:
            with frame_run(state, dense=True).working():
                out = conv_norm_relu(layer, nn.Identity(), x)
            pointers.append(out.data_ptr())
            assert torch.allclose(out, F.relu(dense_conv(layer, x)), atol=1e-5)
    assert len(set(pointers)) == 1 or layer._packed.conv.prepared.packed is None


def test_random_policies_are_repeatable_and_have_their_shares():
    shape, device = (2, 60, 70), torch.device("cpu")
    first, again, other = RandomPolicy(0.5, 0.3, seed=1), RandomPolicy(0.5, 0.3, seed=1), RandomPolicy(0.5, 0.3, seed=2)
    one, two = first("a", shape, device), first("a", shape, device)
    assert torch.equal(one, again("a", shape, device)) and torch.equal(two, again("a", shape, device))
    assert not torch.equal(one, two) and not torch.equal(one, other("a", shape, device))
    assert not torch.equal(one, first("b", shape, device))
    assert [float((one == kind).float().mean()) for kind in (2, 1, 0)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_come_and_go_with_both_executors(kind):
    layer, frames = layer_of(kind), frames_of(6, rows=2)
    nn.init.normal_(layer.gate.weight)
    layer.per_frame = False
    keys = [((0, 1), (0, 2)), ((0, 1), (0, 2)), ((0, 2), (0, 3)), ((0, 3), (0, 5)), ((0, 3), (0, 5))]
    norm = norm_of("BN")
    results = []
    for grad, call in ((False, lambda x: conv_norm_relu(layer, norm, x)), (True, lambda x: F.relu(norm(layer(x))))):
        state = VideoState()
        results.append([run(layer, [x], dense_first=t == 0, objects=key, state=state, call=call, grad=grad)[0][0]
                        for t, (x, key) in enumerate(zip(frames, keys, strict=False))])
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*results, strict=True))


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
    expected, _ = run(layer, frames, call=separate, grad=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))


# Whose rows ----------------------------------------------------------------------------------------------------------

def call_with(layer, state, x, rows, grad=False, dense=False):
    """One frame of some rows; whatever is noted."""
    with torch.set_grad_enabled(grad), frame_run(state, dense, keys=None).working() as done:
        with done.whose(rows):
            out = conv_norm_relu(layer, nn.Identity(), x)
        return out.clone(), done.notes


@pytest.mark.parametrize("kind", [TripleSparseConv, ResidualSparseConv])
@pytest.mark.parametrize("grad", [False, True])
def test_a_subset_of_rows_leaves_the_others_what_they_have(kind, grad):
    """Rows that are computed frame by frame in twos and ones give what a layer of each row alone gives."""
    layer = layer_of(kind)
    nn.init.normal_(layer.gate.weight)
    layer.per_frame = False
    names = [(0, "a"), (0, "b"), (0, "c")]
    shown = [(0, 1), (0, 1), (0,), (1,), (0, 1, 2), (2, 0), (1,), (2,), (2, 1, 0)]
    frames = [[torch.randn(1, 4, 9, 7) for _ in names] for _ in shown]
    together, alone = VideoState(), [VideoState() for _ in names]
    for t, rows in enumerate(shown):
        x = torch.cat([frames[t][row] for row in rows])
        out, notes = call_with(layer, together, x, rows_of([names[row] for row in rows]), grad, dense=t == 0)
        for place, row in enumerate(rows):
            expected, one = call_with(layer, alone[row], frames[t][row], rows_of([names[row]]), grad, dense=t == 0)
            assert torch.allclose(out[place], expected[0], atol=1e-5)
            if notes[0].policy is not None and one[0].policy is not None:
                assert torch.equal(notes[0].policy[place], one[0].policy[0])
    assert set(together.layers["layer"].keys) == set(names)
    together.layers["layer"].drop({names[1]})
    assert set(together.layers["layer"].keys) == {names[0], names[2]}
    assert all(len(tensor) == 2 for tensor in together.layers["layer"].tensors.values())


def test_a_subset_is_written_into_the_buffer_of_all():
    layer, state = layer_of(TripleSparseConv), VideoState()
    layer.per_frame = False
    rows, frames = rows_of([(0, 1), (0, 2)]), frames_of(2, rows=2)
    call_with(layer, state, frames[0], rows, dense=True)
    buffer = state.layers["layer"].tensors["out"]
    pointer, other = buffer.data_ptr(), buffer[0].clone()
    always(layer, COMPUTE)
    out, notes = call_with(layer, state, frames[1][1:], rows.select(torch.tensor([False, True])))
    assert notes[0].counts()[2] == 63
    held = state.layers["layer"]
    assert held.keys == rows.keys and held.tensors["out"].data_ptr() == pointer
    assert torch.equal(held.tensors["out"][0], other) and torch.equal(held.tensors["out"][1:], out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per_frame", [False, True])
def test_rows_of_nobody_are_dense_and_leave_nothing(kind, per_frame):
    layer, state = layer_of(kind), VideoState()
    layer.per_frame = per_frame
    frames = frames_of(2)
    call_with(layer, state, frames[0], rows_of([(0, 1)]), dense=True)
    held = {name: (id(kept), kept.keys) for name, kept in state.layers.items()}
    many = torch.randn(5, 4, 9, 7)
    out, notes = call_with(layer, state, many, None)
    assert torch.equal(out, F.relu(dense_conv(layer, many))) and not notes
    assert {name: (id(kept), kept.keys) for name, kept in state.layers.items()} == held


def test_rows_of_objects_that_nobody_named_are_refused():
    layer = layer_of(TripleSparseConv)
    layer.per_frame = False
    with FrameRun(VideoState()).working(), pytest.raises(RuntimeError, match="layer: .* nobody said whose rows"):
        layer(frames_of(1)[0])
    assert torch.equal(layer(frames_of(1)[0]), dense_conv(layer, frames_of(1)[0]))  # outside of any frame loop


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_inside_another_one(kind):
    """A frame of a second video comes while a frame of the first is worked on: neither notices."""
    layer, frames, others = layer_of(kind), frames_of(4), frames_of(4, size=(9, 7))
    others = [-x for x in others]
    nn.init.normal_(layer.gate.weight)
    call = lambda x: conv_norm_relu(layer, nn.Identity(), x)  # noqa: E731
    expected, other = run(layer, frames, call=call)[0], run(layer, others, call=call)[0]
    first, second, results = VideoState(), VideoState(), ([], [])
    with torch.no_grad():
        for t in range(4):
            with frame_run(first, dense=t == 0).working() as outer:
                with frame_run(second, dense=t == 0).working():
                    results[1].append(call(others[t]).clone())
                results[0].append(call(frames[t]).clone())
                assert len(outer.notes) == 1
    assert all(torch.equal(a, b) for a, b in zip(results[0] + results[1], expected + other, strict=True))


@pytest.mark.parametrize("first, second", [(first, second) for first in KINDS for second in KINDS])
def test_a_layer_behind_a_buffer_of_another_one(first, second):
    """Outputs that are updated in place are inputs of the next layer, which may keep them: both executors agree."""
    torch.manual_seed(1)
    layers = [first(4, 6, 3, padding=1).eval(), second(6, 6, 3, padding=1).eval()]
    for number, layer in enumerate(layers):
        nn.init.normal_(layer.gate.weight)
        layer.name, layer.per_frame = f"layer{number}", True

    def both(x):
        for layer in layers:
            x = conv_norm_relu(layer, nn.Identity(), x, relu=False)
        return x

    frames = frames_of(6)
    outputs, expected = run(None, frames, call=both)[0], run(None, frames, call=both, grad=True)[0]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, expected, strict=True))


def test_packed_weights_are_neither_copied_nor_saved():
    layer = layer_of(TripleSparseConv)
    run(layer, frames_of(2), call=lambda x: conv_norm_relu(layer, nn.Identity(), x))
    assert layer._packed.conv is not None and set(layer.state_dict()) == {"weight", "bias", "gate.weight", "gate.bias"}
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._packed is not layer._packed and other._packed.conv is None
        assert torch.equal(other.weight, layer.weight)
    assert layer.train()._packed.conv is None


def test_what_a_caller_holds_is_not_overwritten():
    """Without a norm behind it, that is called by itself, a layer gives away copies of its buffer."""
    layer, state, held = layer_of(TripleSparseConv), VideoState(), []
    with torch.no_grad():
        for t, x in enumerate(frames_of(4)):
            with frame_run(state, dense=t == 0).working():
                out = layer(x)
            held.append((out, out.clone()))
    assert all(torch.equal(now, then) for now, then in held)
