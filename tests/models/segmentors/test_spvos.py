"""Where and when a segmentor is sparse: SpVOS."""

import copy

import pytest
import torch
from torch import nn

from tests.contracts.helpers import CONFIGS, TINY_R50, advance, boxes, build_tiny, random_frames, sparse, track
from vosplug.evaluation.complexity import state_mib
from vosplug.evaluation.work_report import set_density
from vosplug.models.backbones import Backbone
from vosplug.models.backbones.sparse_convs import (
    DenseConv,
    Mixed,
    SparseConv,
    gate_names,
    load_dense_weights,
    sparsify,
)
from vosplug.models.frame_run import FrameRun
from vosplug.models.layers.build import conv_norm_relu
from vosplug.registry import BACKBONES, FRAME_POLICIES, MODELS, SEGMENTORS
from vosplug.structures import Level, Prompt, VideoState, Work
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.config_options import apply_options
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError, ConfigError

BASE = "_base_/stcn_r50_model.py"
SIZE = (40, 56)
# SpVOS, Tables I to III: "Params", MiB of the state dict.
PARAMS = {
    "stcn_r50": 207.78, "spvos_r50": 209.06,
    "spvos/triple_q_r50": 208.48, "spvos/triple_d_r50": 208.36, "spvos/triple_qd_r50": 209.06,
    "spvos/triple_qdm_r50": 209.97,
    "spvos/static_q_r50": 207.90, "spvos/static_d_r50": 207.88, "spvos/static_qd_r50": 208.00,
    "spvos/static_qdm_r50": 208.15,
    "spvos/residual_q_r50": 207.90, "spvos/residual_d_r50": 207.88, "spvos/residual_qd_r50": 208.00,
    "spvos/residual_qdm_r50": 208.15,
    "spvos/triple_fully_qd_r50": 209.06, "spvos/triple_semi_mixed_qdm_r50": 209.97,
    "spvos/triple_semi_mixed_qd_r50": 209.06, "spvos/triple_qd_ytvos_r50": 209.06, "spvos/dense_r50": 207.78,
    "spvos/static_fully_qd_r50": 208.00, "spvos/static_semi_mixed_qdm_r50": 208.15,
    "spvos/static_semi_mixed_qd_r50": 208.00, "spvos/residual_fully_qd_r50": 208.00,
    "spvos/residual_semi_mixed_qdm_r50": 208.15, "spvos/residual_semi_mixed_qd_r50": 208.00,
    "spvos/triple_q_dagger_r50": 208.92, "spvos/triple_d_dagger_r50": 208.89, "spvos/triple_qd_dagger_r50": 210.03,
}


@pytest.mark.parametrize("config, mib", PARAMS.items())
def test_sizes_are_those_of_the_papers_tables(config, mib):
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(config).model)
    assert state_mib(model) == pytest.approx(mib, abs=0.005)


def test_every_config_of_the_family_is_in_the_table():
    assert {f"spvos/{path.stem}" for path in (CONFIGS / "spvos").glob("*.py")} == {
        name for name in PARAMS if name.startswith("spvos/")}


def tiny(conv="TripleSparseConv", policy="Mixed", where="QD", everywhere=False, seed=0):
    return build_tiny(BASE, {**TINY_R50, **sparse(conv, policy, where, everywhere)}, seed=seed)


def set_gates(model, answer):
    """All gates of triple convolutions give one answer."""
    for module in model.modules():
        if isinstance(module, SparseConv):
            nn.init.zeros_(module.gate.weight)
            module.gate.bias.data = torch.full((3,), -50.0)
            module.gate.bias.data[answer] = 50


def work_per_frame(model, frames, prompts):
    """What the layers of a model did, frame by frame."""
    state, work = model.init_state(), []
    with torch.no_grad():
        for t, frame in enumerate(frames):
            x, geometry = model.data_preprocessor.frames(frame[None])
            prompt = prompts.get(t)
            if prompt is not None:
                prompt = Prompt(ids=prompt[0], masks=model.data_preprocessor.masks(prompt[1], geometry))
            work.append(model.step(state, x, prompt).noted(Work))
    return work


@pytest.mark.parametrize("policy, dense", [("Fully", {0}), ("SemiMixed", {0, 3}), ("Mixed", {0, 3, 5})])
def test_policies_choose_the_frames_that_are_dense(policy, dense):
    """Frame 0 has nothing to look back on; masks are given on frames 0 and 3; the memory keeps every fifth frame."""
    model, masks = tiny(policy=policy), boxes(2, SIZE)
    work = work_per_frame(model, random_frames(7, SIZE), {0: ((1,), masks[:, :1]), 3: ((2,), masks[:, 1:])})
    found = {t for t, done in enumerate(work)
             if all(w.policy is None for w in done if w.layer.startswith("key_encoder"))}
    assert found == dense


@pytest.mark.parametrize("where, parts", [("Q", {"key_encoder"}), ("D", {"decoder"}),
                                          ("QD", {"key_encoder", "decoder"}),
                                          ("QDM", {"key_encoder", "decoder", "value_encoder"})])
def test_where_chooses_the_parts(where, parts):
    model = tiny(policy="Fully", where=where)
    names = [name for name, module in model.named_modules() if isinstance(module, SparseConv)]
    assert {name.split(".")[0] for name in names} == parts
    assert not any("downsample" in name or "proj" in name or "skip" in name or "pred" in name for name in names)
    assert not isinstance(model.key_encoder.backbone.conv1, SparseConv)


def test_everywhere_adds_shortcuts_projections_and_the_prediction():
    model = tiny(everywhere=True)
    names = {name for name, module in model.named_modules() if isinstance(module, SparseConv)}
    plain = {name for name, module in tiny().named_modules() if isinstance(module, SparseConv)}
    shortcuts = {f"key_encoder.backbone.layer{i}.0.downsample.0" for i in (1, 2, 3)}
    decoder = {"decoder.compress.downsample", "decoder.ups.0.downsample", "decoder.ups.0.skip_conv", "decoder.pred"}
    assert plain < names and shortcuts | {"key_encoder.key_proj", "key_encoder.context_proj"} <= names
    assert {n.replace("out_conv.", "") for n in names - plain} >= decoder - {"decoder.ups.0.downsample"}
    assert all(module.per_frame == (name.startswith("key_encoder") or "skip_conv" in name)
               for name, module in model.named_modules() if isinstance(module, SparseConv))


def test_all_computed_equals_the_dense_twin():
    """Norms are folded in the speed path, so logits agree to rounding, and masks where these decide."""
    model, dense = tiny(policy="Fully"), build_tiny(BASE, TINY_R50)
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(6, SIZE), {0: ((1, 2), boxes(2, SIZE))}
    for ours, theirs in zip(track(model, frames, prompts), track(dense, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-5)
        best, second = theirs.topk(2, dim=1).values.unbind(dim=1)
        decided = best - second > 4e-5
        assert decided.float().mean() > 0.5
        assert torch.equal(ours.argmax(dim=1)[decided], theirs.argmax(dim=1)[decided])


def test_all_computed_in_training_equals_the_dense_twin_bit_by_bit():
    model, dense = tiny(policy="Fully").train(), build_tiny(BASE, TINY_R50).train()
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(4, SIZE), {0: ((1, 2), boxes(2, SIZE))}
    for ours, theirs in zip(*(track(m, frames, prompts, state=m.init_state(training=True)) for m in (model, dense)),
                            strict=True):
        assert torch.equal(ours, theirs)


def with_gradients(model, frames, prompts):
    """Logits of each frame, made with gradients: by separate steps on the layers' own weights."""
    state, outputs = model.init_state(), []
    for t, frame in enumerate(frames):
        outputs.append(advance(model, state, frame, prompts.get(t)))
    return outputs


def test_where_gradients_are_wanted_models_equal_the_dense_twin_bit_by_bit():
    model, dense = tiny(policy="Fully"), build_tiny(BASE, TINY_R50)
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(6, SIZE), {0: ((1, 2), boxes(2, SIZE))}
    for ours, theirs in zip(*(with_gradients(m, frames, prompts) for m in (model, dense)), strict=True):
        assert torch.equal(ours, theirs)
    assert ours.requires_grad


@pytest.mark.parametrize("options", [sparse("TripleSparseConv", "Mixed"), sparse("StaticSparseConv", "Mixed"),
                                     sparse("ResidualSparseConv", "SemiMixed")], ids=["triple", "static", "residual"])
def test_packed_models_equal_those_with_gradients(options):
    packed, separate = (build_tiny(BASE, {**TINY_R50, **options}) for _ in range(2))
    for model in (packed, separate):
        set_density(model, 0.3, "m")
    frames, prompts = random_frames(7, SIZE), {0: ((1,), boxes(1, SIZE))}
    for ours, theirs in zip(track(packed, frames, prompts), with_gradients(separate, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3)
    assert all(layer._packed.conv is not None for layer in packed.modules() if isinstance(layer, SparseConv))
    assert all(layer._packed.conv is None for layer in separate.modules() if isinstance(layer, SparseConv))


def test_dense_convolutions_on_the_kernels_change_nothing_but_rounding():
    plain, options = tiny(), {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}
    options["model.sparse"]["dense_kernels"] = True
    packed = build_tiny(BASE, options)
    names = {name for name, module in packed.named_modules() if isinstance(module, DenseConv)}
    assert names == {"key_encoder.key_proj", "key_encoder.context_proj", "decoder.compress.downsample",
                     "decoder.ups.0.out_conv.downsample", "decoder.ups.0.skip_conv", "decoder.ups.1.skip_conv",
                     "decoder.pred"}
    packed.load_state_dict(plain.state_dict())
    frames, prompts = random_frames(4, SIZE), {0: ((1,), boxes(1, SIZE))}
    for ours, theirs in zip(track(packed, frames, prompts), track(plain, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3)


def test_frames_of_another_size_are_dense_again():
    """A state refuses them; one that is told to start over at another size finds no previous features of that size."""
    model = tiny(where="Q")
    state = model.init_state()
    track(model, random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))}, state=state)
    for size, dense in (((64, 64), True), ((64, 64), False), (SIZE, True)):
        frame = model.data_preprocessor.frames(random_frames(1, size))[0]
        with torch.no_grad(), FrameRun(state).working() as run:
            model.encode_deep(model.encode_shallow(frame))
        assert {note.policy is None for note in run.notes} == {dense}


def test_all_reused_on_a_repeated_frame_are_the_features_of_the_frame_before():
    model = tiny(where="Q")
    set_gates(model, 1)
    state, frame = model.init_state(), random_frames(1, SIZE)[0]
    with torch.no_grad():
        advance(model, state, frame, ((1,), boxes(1, SIZE)))
        x, _ = model.data_preprocessor.frames(frame[None])
        with FrameRun(state).working() as run:
            run.plan["dense"] = True
            before = copy.deepcopy(model.key_encoder(x))
        with FrameRun(state).working():
            after = model.key_encoder(x)
    assert torch.equal(after.key, before.key) and torch.equal(after.context, before.context)
    assert all(torch.equal(after.pyramid[s], before.pyramid[s]) for s in before.pyramid)


def test_reuse_keeps_what_the_residual_branches_were_and_shortcuts_go_on():
    model, frames = tiny(where="Q"), random_frames(3, SIZE)
    set_gates(model, 1)
    work = work_per_frame(model, frames, {0: ((1,), boxes(1, SIZE))})
    assert all(w.counts()[1] == w.sites for done in work[1:] for w in done)


def test_memories_are_not_overwritten_by_later_frames():
    """Buffers that are updated in place must never be what the memory or a caller holds."""
    for everywhere in (False, True):
        model = tiny(everywhere=everywhere)
        state = model.init_state()
        frames, held = random_frames(5, SIZE), []
        with torch.no_grad():
            for t, frame in enumerate(frames):
                x, geometry = model.data_preprocessor.frames(frame[None])
                prompt = Prompt((1,), model.data_preprocessor.masks(boxes(1, SIZE), geometry)) if t == 0 else None
                output = model.step(state, x, prompt)
                held.append((output.logits, output.logits.clone()))
                held.extend((entry[name], entry[name].clone()) for entry in state.memory for name in ("key", "value"))
        assert all(torch.equal(now, then) for now, then in held)


def test_object_that_comes_later_starts_dense_and_the_others_do_not_notice():
    model, masks, frames = tiny(policy="SemiMixed", where="D"), boxes(2, SIZE), random_frames(6, SIZE)
    work = work_per_frame(model, frames, {0: ((1,), masks[:, :1]), 3: ((2,), masks[:, 1:])})
    compress = [w for w in work[4] if w.layer == "decoder.compress.conv1"]
    assert compress[0].policy[1].eq(2).all() and not compress[0].policy[0].eq(2).all()
    assert not [w for w in work[5] if w.layer == "decoder.compress.conv1"][0].policy[1].eq(2).all()


def test_previous_features_are_in_the_state_under_the_names_of_the_layers():
    model = tiny()
    state = model.init_state()
    track(model, random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))}, state=state)
    names = {name for name, module in model.named_modules() if isinstance(module, SparseConv)}
    assert set(state.layers) == names and not names & set(state.cache)


def test_outputs_that_reuse_needs_have_the_sizes_of_the_docs():
    """MiB at 480x864 in float32 (docs/spvos.md), from a quarter of that; "wide" are the ends of bottlenecks."""
    model = SEGMENTORS.build(load_config("spvos_r50").model).eval()
    work = work_per_frame(model, random_frames(2, (240, 432)), {0: ((1,), boxes(1, (240, 432)))})
    modules, sizes = dict(model.named_modules()), {}
    for layer, sites in {w.layer: w.sites for frame in work for w in frame}.items():
        part = "wide" if layer.endswith("conv3") else layer.split(".")[0]
        sizes[part] = sizes.get(part, 0) + 4 * sites * modules[layer].out_channels * 4 / 2**20
    assert {part: round(size) for part, size in sizes.items()} == {"key_encoder": 97, "wide": 165, "decoder": 70}


def test_start_from_dense_weights(tmp_path):
    dense, model = build_tiny(BASE, TINY_R50, seed=3), tiny()
    gates = {name: value.clone() for name, value in model.state_dict().items() if name in gate_names(model)}
    save_checkpoint_file({"state_dict": dense.state_dict()}, tmp_path / "dense.pth")
    load_dense_weights(model, tmp_path / "dense.pth")
    state = model.state_dict()
    assert gates and all(torch.equal(state[name], value) for name, value in gates.items())
    assert all(torch.equal(state[name], value) for name, value in dense.state_dict().items())
    options = {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}
    options["model.sparse"]["dense_weights"] = str(tmp_path / "dense.pth")
    built = build_tiny(BASE, options).state_dict()
    assert all(torch.equal(built[name], value) for name, value in dense.state_dict().items())
    weights = dense.state_dict()
    weights.pop("decoder.pred.bias")
    with pytest.raises(CheckpointError, match=r"1 missing \(decoder.pred.bias\)"):
        load_dense_weights(model, weights)


@pytest.mark.parametrize("options, message", [
    (dict(policy=dict(type="Mixd")), "(?i)did you mean 'Mixed'"),
    (dict(policy=dict(type="TripleSparseConv")), "is a sparse convolution, not a frame policy"),
    (dict(where="QX"), "must consist of"), (dict(where=""), "consist of"), (dict(where="QQ"), "consist of"),
    (dict(where="QDM"), "has no effect under policy Mixed"), (dict(conv=dict(type="TripleSparseCon")), "did you mean"),
    (dict(dense_kernels=True, everywhere=True), "dense_kernels=True has no effect"),
    (dict(dense_kernels=True, where="M", policy=dict(type="Fully")), "dense_kernels=True has no effect"),
    (dict(where="QDM", policy=dict(type="Fully"), everywhere=True), "no effect on the value encoder"),
    (dict(fold=False), "STCN.sparse has no option 'fold'"), (dict(everywhere="yes"), "must be True or False")])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=f"(?i){message}" if "(?i)" not in message else message):
        build_tiny(BASE, {**TINY_R50, "model.sparse": {"conv": {"type": "TripleSparseConv"}, **options}})


def test_a_misspelt_option_in_a_config_is_named():
    conv = {"type": "TripleSparseConv"}
    with pytest.raises(ConfigError, match="STCN.sparse has no option 'polcy'.*'policy'"):
        build_tiny(BASE, {**TINY_R50, "model.sparse": {"conv": conv, "polcy": {"type": "Fully"}}})
    with pytest.raises(ConfigError, match="STCN has no option 'spars'.*'sparse'"):
        build_tiny(BASE, {**TINY_R50, "model.spars": {"conv": conv}})
    with pytest.raises(ConfigError, match="STCN.sparse needs the option 'conv'"):
        build_tiny(BASE, {**TINY_R50, "model.sparse": {"where": "Q"}})
    with pytest.raises(ConfigError, match="sparse must be a dict of options or None, got True"):
        build_tiny(BASE, {**TINY_R50, "model.sparse": True})


def test_configs_of_parts_are_not_changed():
    cfg = load_config(CONFIGS / "spvos_r50.py").model
    before = copy.deepcopy(cfg.to_dict())
    with torch.device("meta"):
        SEGMENTORS.build(cfg)
    assert cfg.to_dict() == before


def test_frames_that_the_next_one_replaces_are_no_memory_frames():
    from vosplug.models.memories import FrameBank

    state = VideoState(memory=FrameBank(every=5, include_last=True).new())
    for index, kept in ((0, True), (1, False), (5, True)):
        state.frame_index = index
        assert Mixed().decide(state, prompted=False, last=False)["dense"] is kept
    assert not Mixed().decide(state, prompted=False, last=True)["dense"]
    assert Mixed().decide(state, prompted=True, last=True)["dense"]
    assert set(FRAME_POLICIES.members()) >= {"Fully", "SemiMixed", "Mixed"}


def test_a_plugins_frame_policy(monkeypatch):
    """Every third frame is dense: nothing but a class with one method."""
    monkeypatch.setattr(FRAME_POLICIES, "_members", dict(FRAME_POLICIES._members))
    monkeypatch.setattr(MODELS, "_module_dict", dict(MODELS._module_dict))

    @FRAME_POLICIES.register_module()
    class EveryThird:
        def __init__(self, period: int = 3):
            self.period = period

        def decide(self, state, prompted, last):
            return {"dense": state.frame_index % self.period == 0}

    work = work_per_frame(tiny(policy="EveryThird"), random_frames(7, SIZE), {0: ((1,), boxes(1, SIZE))})
    dense = {t for t, done in enumerate(work) if all(w.policy is None for w in done)}
    assert dense == {0, 3, 6}


def test_options_that_a_config_leaves_out_can_be_set():
    """On the command line; what the key does not take is refused with a suggestion."""
    cfg = load_config("spvos_small")
    assert "dense_kernels" not in cfg.model.sparse
    apply_options(cfg, {"model.sparse.dense_kernels": True, "model.sparse.policy.type": "SemiMixed"})
    assert cfg.model.sparse.dense_kernels is True and cfg.model.sparse.policy == dict(type="SemiMixed")
    with pytest.raises(ConfigError, match="'dense_kernel'.*'dense_kernels'"):
        apply_options(load_config("spvos_small"), {"model.sparse.dense_kernel": True})
    dense = load_config("stcn_small")
    apply_options(dense, {"model.sparse": dict(conv=dict(type="StaticSparseConv"), where="Q")})
    assert dense.model.sparse.where == "Q"


# Surgery -------------------------------------------------------------------------------------------------------------

def test_surgery_keeps_weights_names_mode_and_what_is_frozen():
    options = {**TINY_R50, "model.key_encoder.backbone.frozen_stages": 1}
    model = build_tiny(BASE, options).double()
    before = {name: (id(p), p.requires_grad) for name, p in model.named_parameters()}
    torch.manual_seed(3)
    names = sparsify(model, dict(type="TripleSparseConv", tau=0.5), "Q")
    after = dict(model.named_parameters())
    assert {name: (id(after[name]), after[name].requires_grad) for name in before} == before
    new = set(after) - set(before)
    assert new == gate_names(model) == {f"{name}.gate.{part}" for name in names for part in ("weight", "bias")}
    assert all(after[name].dtype is torch.float64 for name in new)
    assert all(after[name].requires_grad for name in new) and not after[f"{names[0]}.weight"].requires_grad
    layers = [module for module in model.modules() if isinstance(module, SparseConv)]
    assert {layer.tau for layer in layers} == {0.5} and not any(layer.training for layer in layers)
    torch.manual_seed(3)
    again = build_tiny(BASE, options).double()
    torch.manual_seed(3)
    sparsify(again, dict(type="TripleSparseConv"), "Q")
    assert all(torch.equal(again.state_dict()[name], after[name]) for name in new)


def test_frames_reach_the_stem_in_the_format_of_the_kernels():
    """In inference on a video only; the hook stands once, however often a model is operated on."""
    model, seen = tiny(where="Q"), []
    sparsify(model, dict(type="TripleSparseConv"), "D")
    stem, other = model.key_encoder.backbone.conv1, model.value_encoder.backbone.conv1
    assert (len(stem._forward_pre_hooks), len(other._forward_pre_hooks)) == (1, 0)
    stem.register_forward_hook(lambda _module, inputs, _out: seen.append(
        inputs[0].is_contiguous(memory_format=torch.channels_last)))
    frames, prompts = random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))}
    track(model, frames, prompts)
    with_gradients(model, frames, prompts)
    with torch.no_grad():
        model.forward(model.data_preprocessor.frames(frames)[0])
    assert seen == [True, True, False, False, False]


def test_parts_can_differ():
    """One kind in the key encoder, another one in the decoder: two operations on one model."""
    model = build_tiny(BASE, TINY_R50)
    sparsify(model, dict(type="StaticSparseConv"), "Q")
    sparsify(model, dict(type="TripleSparseConv"), "D")
    kinds = {(name.split(".")[0], type(module).__name__) for name, module in model.named_modules()
             if isinstance(module, SparseConv)}
    assert kinds == {("key_encoder", "StaticSparseConv"), ("decoder", "TripleSparseConv")}
    with pytest.raises(ConfigError, match="key encoder of this STCN has no convolution that could become sparse"):
        sparsify(model, dict(type="TripleSparseConv"), "Q")


class PlainPyramid(Backbone):
    """A plugin's backbone, which knows nothing of sparse convolutions: three stages of names of its own."""

    stem = "entry"

    def __init__(self, in_channels=3):
        super().__init__()
        self.entry = nn.Conv2d(in_channels, 8, 3, stride=2, padding=1)
        self.parts = nn.ModuleDict({
            name: nn.ModuleDict({"down": nn.Conv2d(before, width, 3, stride=2, padding=1),
                                 "norm": nn.BatchNorm2d(width),
                                 "deep": nn.Conv2d(width, width, 3, padding=1, groups=2)})
            for name, before, width in (("c2", 8, 8), ("c3", 8, 16), ("c4", 16, 16))})
        self.steps, self.levels = ("c2", "c3", "c4"), {"c2": Level(8, 4), "c3": Level(16, 8), "c4": Level(16, 16)}
        self.finish()

    @property
    def stages(self):
        return [[self.entry], *([self.parts[name]] for name in self.steps)]

    def advance(self, step, x):
        part = self.parts[step]
        x = self.entry(x).relu() if step == "c2" else x
        return part["deep"](conv_norm_relu(part["down"], part["norm"], x)).relu()


def test_a_plugins_backbone_becomes_sparse_by_config_alone(monkeypatch):
    monkeypatch.setattr(BACKBONES, "_members", dict(BACKBONES._members))
    monkeypatch.setattr(MODELS, "_module_dict", dict(MODELS._module_dict))
    BACKBONES.register_module()(PlainPyramid)
    plugin = {**TINY_R50, "model.key_encoder.backbone": {"type": "PlainPyramid", "_delete_": True}}
    dense = build_tiny(BASE, plugin)
    model = build_tiny(BASE, {**plugin, **sparse("TripleSparseConv", "Fully", where="Q")})
    names = {name for name, module in model.named_modules() if isinstance(module, SparseConv)}
    assert names == {f"key_encoder.backbone.parts.c{i}.{part}" for i in (2, 3, 4) for part in ("down", "deep")}
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(4, SIZE), {0: ((1,), boxes(1, SIZE))}
    for ours, theirs in zip(track(model, frames, prompts), track(dense, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-4)
    set_gates(model, 1)
    work = work_per_frame(model, frames, prompts)
    assert {note.layer for note in work[1]} == names and all(note.counts()[1] == note.sites for note in work[1])


def test_mobile_backbones_become_sparse_but_for_their_stem():
    """Depthwise convolutions and ReLU6 included."""
    options = {**TINY_R50, "model.key_encoder.backbone": {"type": "MobileNetV2", "output_stride": 16, "_delete_": True}}
    dense = build_tiny(BASE, options)
    model = build_tiny(BASE, {**options, **sparse("TripleSparseConv", "Fully", where="Q")})
    backbone = model.key_encoder.backbone
    plain = [name for name, module in backbone.named_modules() if type(module) is nn.Conv2d]
    assert plain == ["features.0.0"]
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(3, SIZE), {0: ((1,), boxes(1, SIZE))}
    for ours, theirs in zip(track(model, frames, prompts), track(dense, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3)


# Stages called one by one --------------------------------------------------------------------------------------------

def frame_by_stages(model, state, frame, keep):
    """The stages of a frame for a subset of the rows, as a reuse gate calls them; logits (R, K, h, w) and work."""
    with torch.no_grad(), model.running(state) as run:
        rows = model.rows(state)
        rows = rows.select(keep[: len(rows)])
        features = model.encode_deep(model.encode_shallow(frame))
        with run.whose(rows):
            logits = model.decode_fine(state, features, model.decode_coarse(state, features, rows), rows)
        return logits.clone(), run.notes


def test_a_subset_of_objects_through_a_sparse_decoder():
    """The others keep their features: computed a frame later, an object reuses those of its own last frame."""
    model, masks, frames = tiny(policy="Fully", where="D"), boxes(2, SIZE), random_frames(4, SIZE)
    state = model.init_state()
    track(model, frames[:2], {0: ((3, 5), masks)}, state=state)
    set_gates(model, 1)
    layer = "decoder.compress.conv1"
    before = {name: copy.deepcopy(kept) for name, kept in state.layers.items()}
    x = model.data_preprocessor.frames(frames[2:3])[0]
    logits, notes = frame_by_stages(model, state, x, [False, True])
    assert len(logits) == 1 and {note.layer for note in notes} == set(state.layers)
    assert all(note.counts()[1] == note.sites for note in notes)
    assert state.layers[layer].keys == ((0, 3), (0, 5))
    for name, kept in before.items():
        for what in kept.tensors:
            assert torch.equal(state.layers[name].tensors[what][0], kept.tensors[what][0])
    changed = state.layers[layer].tensors["echo"][1] != before[layer].tensors["echo"][1]
    assert changed.any()
    both, _ = frame_by_stages(model, state, x, [True, True])
    assert torch.allclose(both[1], logits[0], atol=1e-4)


def test_augmented_samples_go_through_a_sparse_backbone():
    model, frames = tiny(policy="Fully"), random_frames(6, SIZE)
    state = model.init_state()
    track(model, frames[:1], {0: ((1,), boxes(1, SIZE))}, state=state)
    many, _ = model.data_preprocessor.frames(frames[1:])
    held = dict(state.layers)
    with torch.no_grad(), model.running(state) as run:
        with pytest.raises(RuntimeError, match="an input of 5 rows came where 1 frames are processed"):
            model.forward(many)
        with run.whose(None):
            together = model.forward(many)
        assert not run.notes and state.layers == held
    alone = [model.forward(x[None]) for x in many]
    assert torch.allclose(together.key, torch.cat([features.key for features in alone]), atol=1e-5)


def test_both_registries_make_models_sparse():
    """The runner of mmengine builds by MODELS, the commands by SEGMENTORS."""
    cfg = load_config("spvos_small")
    models = []
    for registry in (SEGMENTORS, MODELS):
        torch.manual_seed(0)
        models.append(registry.build(cfg.model))
    first, second = (model.state_dict() for model in models)
    assert gate_names(models[0]) and all(torch.equal(first[name], second[name]) for name in first)
    cfg.model.sparse = None
    assert not gate_names(SEGMENTORS.build(cfg.model))


def test_a_model_that_publishes_no_parts_says_so():
    with pytest.raises(ConfigError, match="Sequential publishes no sparse_parts"):
        sparsify(nn.Sequential(nn.Conv2d(3, 4, 3)), dict(type="TripleSparseConv"))


def test_other_paddings_than_zeros_are_refused():
    model = build_tiny(BASE, TINY_R50)
    model.decoder.compress.conv1.padding_mode = "reflect"
    with pytest.raises(ConfigError, match="decoder.compress.conv1: sparse convolutions pad with zeros"):
        sparsify(model, dict(type="TripleSparseConv"), "D")


def test_removed_objects_leave_the_layers():
    model = tiny()
    state = model.init_state()
    frames = random_frames(4, SIZE)
    track(model, frames, {0: ((4, 7), boxes(2, SIZE))}, removed={3: [4]}, state=state)
    assert state.layers["decoder.compress.conv1"].keys == ((0, 7),)
    assert state.layers["key_encoder.backbone.layer1.0.conv1"].keys == (0,)


@pytest.mark.parametrize("config, kind, loss", [("spvos_small", "TripleSparseConv", "sparsity"),
                                                ("spvos_small_static", "StaticSparseConv", "sparsity"),
                                                ("spvos_small_residual", "ResidualSparseConv", "computation")])
def test_small_configs_differ_in_the_kind_alone(config, kind, loss):
    cfg = load_config(config)
    cfg.merge_from_dict({"model.sparse.losses.0.weight": 0.5})
    with torch.device("meta"):
        model, dense = SEGMENTORS.build(cfg.model), SEGMENTORS.build(load_config("stcn_small").model)
    layers = [module for module in model.modules() if isinstance(module, SparseConv)]
    assert layers and {type(layer).__name__ for layer in layers} == {kind}
    assert model.losses[-1].name == loss and model.losses[-1].weight == 0.5
    assert set(model.state_dict()) - gate_names(model) == set(dense.state_dict())
