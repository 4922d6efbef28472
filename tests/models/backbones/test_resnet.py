"""ResNet: torchvision's names, the pyramid, norms and weights of others."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vosplug.models.backbones import ResNet
from vosplug.parity.manifest import Manifest
from vosplug.structures import Level
from vosplug.utils.checkpoint import load_weights
from vosplug.utils.errors import CheckpointError, ConfigError

TINY = dict(depth=None, block="basic", blocks=(1, 1, 1), stem_channels=4, widths=(4, 6, 8))
# Names and shapes of torchvision's models, written down from its documentation of the layout.
TORCHVISION = {
    18: {"conv1.weight": (64, 3, 7, 7), "bn1.running_var": (64,), "layer1.0.conv1.weight": (64, 64, 3, 3),
         "layer1.1.bn2.bias": (64,), "layer2.0.conv1.weight": (128, 64, 3, 3),
         "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer2.0.downsample.1.running_mean": (128,),
         "layer3.1.conv2.weight": (256, 256, 3, 3), "layer3.1.bn2.num_batches_tracked": ()},
    50: {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv3.weight": (256, 64, 1, 1),
         "layer1.0.downsample.0.weight": (256, 64, 1, 1), "layer1.2.bn3.weight": (256,),
         "layer2.3.conv2.weight": (128, 128, 3, 3), "layer3.0.downsample.1.weight": (1024,),
         "layer3.5.conv1.weight": (256, 1024, 1, 1)},
}


def randomised(model: nn.Module, seed: int = 3) -> nn.Module:
    """The model with other values in every tensor, positive where variances are."""
    generator = torch.Generator().manual_seed(seed)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return model


@pytest.mark.parametrize("depth", [18, 50])
def test_names_and_shapes_are_those_of_torchvision(depth):
    state = ResNet(depth).state_dict()
    assert {name: tuple(state[name].shape) for name in TORCHVISION[depth]} == TORCHVISION[depth]
    blocks = {18: (2, 2, 2), 50: (3, 4, 6)}[depth]
    assert [len({n.split(".")[1] for n in state if n.startswith(f"layer{i}.")}) for i in (1, 2, 3)] == list(blocks)
    assert not any(n.startswith(("layer4", "fc")) for n in state)
    assert ("layer1.0.downsample.0.weight" in state) == (depth == 50)  # a basic block of stage 1 changes nothing


def test_the_stride_of_a_bottleneck_is_in_its_3x3():
    block = ResNet(None, block="bottleneck", blocks=(1, 1, 1), stem_channels=4, widths=(2, 2, 2)).layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


def test_a_half_dilated_block_dilates_its_second_convolution():
    options = dict(blocks=(1, 1, 1, 2), stem_channels=4, widths=(4, 4, 4, 4), output_stride=16)
    half, basic = (ResNet(None, block=block, **options).layer4 for block in ("half_dilated", "basic"))
    assert [[conv.dilation[0] for conv in (b.conv1, b.conv2)] for b in half] == [[1, 1], [1, 2]]
    assert [[conv.dilation[0] for conv in (b.conv1, b.conv2)] for b in basic] == [[1, 1], [2, 2]]
    x = torch.randn(1, 4, 6, 7)
    assert half(x).shape == basic(x).shape and half.state_dict().keys() == basic.state_dict().keys()


@pytest.mark.parametrize("block, factor", [("basic", 1), ("bottleneck", 4)])
@pytest.mark.parametrize("pool", [True, False])
def test_pyramid_has_the_published_strides_and_channels(block, factor, pool):
    model = ResNet(**{**TINY, "block": block}, stem_pool=pool, stem_kernel=5, in_channels=5)
    assert model.levels == {"c2": Level(4 * factor, 4), "c3": Level(6 * factor, 8), "c4": Level(8 * factor, 16)}
    assert model.conv1.weight.shape == (4, 5, 5, 5)
    pyramid = model(torch.randn(2, 5, 32, 48))
    assert {name: tuple(f.shape) for name, f in pyramid.items()} == {
        name: (2, level.channels, 32 // level.stride, 48 // level.stride) for name, level in model.levels.items()}


def test_stem_is_convolution_norm_relu_and_pool():
    model = randomised(ResNet(**TINY)).eval()
    x = torch.randn(1, 3, 16, 16)
    expected = nn.functional.max_pool2d(model.bn1(model.conv1(x)).relu(), 3, 2, 1)
    assert torch.equal(model(x)["c2"], model.layer1(expected))


def test_basic_block_against_its_formula():
    block = randomised(ResNet(**TINY)).eval().layer2[0]
    x = torch.randn(1, 4, 8, 8)
    inner = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    assert torch.allclose(block(x), (inner + block.downsample[1](block.downsample[0](x))).relu())


def dilations_of(model):
    """Per stage the dilation of every 3x3 convolution that carries a stride, and the strides."""
    convs = [[getattr(b, "conv2" if hasattr(b, "conv3") else "conv1") for b in getattr(model, f"layer{n}")]
             for n in range(1, 5)]
    assert all(c.padding == c.dilation for stage in convs for c in stage)
    return [[c.dilation[0] for c in stage] for stage in convs], [[c.stride[0] for c in stage] for stage in convs]


DEEP = dict(depth=None, block="bottleneck", blocks=(1, 2, 3, 3), stem_channels=4, widths=(2, 2, 2, 2))


@pytest.mark.parametrize("options, dilations, strides", [
    (dict(), [[1], [1, 1], [1, 1, 1], [1, 1, 1]], [4, 8, 16, 32]),
    (dict(output_stride=16), [[1], [1, 1], [1, 1, 1], [1, 2, 2]], [4, 8, 16, 16]),  # torchvision's convention
    (dict(output_stride=8), [[1], [1, 1], [1, 2, 2], [2, 4, 4]], [4, 8, 8, 8]),
    (dict(output_stride=8, stem_pool=False), [[1], [1, 1], [1, 2, 2], [2, 4, 4]], [4, 8, 8, 8]),
    (dict(output_stride=16, dilate_first=True, multi_grid=(1, 2, 4)), [[1], [1, 1], [1, 1, 1], [2, 4, 8]],
     [4, 8, 16, 16]),  # DeepLab's and CFBI's
    (dict(output_stride=8, dilate_first=True, multi_grid=(1, 2, 4)), [[1], [1, 1], [2, 2, 2], [4, 8, 16]],
     [4, 8, 8, 8])])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_dilation_takes_the_place_of_strides(options, dilations, strides, block):
    model = ResNet(**{**DEEP, "block": block}, **options)
    found, of_blocks = dilations_of(model)
    assert found == dilations and [level.stride for level in model.levels.values()] == strides
    falls = [1 if model.steps[1] == "stem" else 2, *(b // a for a, b in zip(strides[:-1], strides[1:], strict=True))]
    assert [stage[0] for stage in of_blocks] == falls and all(set(stage[1:]) <= {1} for stage in of_blocks)
    pyramid = model(torch.randn(1, 3, 65, 49))
    assert [tuple(x.shape[-2:]) for x in pyramid.values()] == [(-(-65 // s), -(-49 // s)) for s in strides]


def test_levels_of_the_stem_are_published_if_asked():
    model = randomised(ResNet(**TINY, stem_levels=True)).eval()
    assert list(model.levels.items())[:3] == [("c1", Level(4, 2)), ("stem", Level(4, 4)), ("c2", Level(4, 4))]
    x = torch.randn(1, 3, 37, 51)
    pyramid = model(x, upto="stem")
    assert torch.equal(pyramid["c1"], model.bn1(model.conv1(x)).relu())
    assert torch.equal(pyramid["stem"], nn.functional.max_pool2d(pyramid["c1"], 3, 2, 1))
    assert torch.equal(model.extend(pyramid)["c4"], model(x)["c4"])
    assert list(ResNet(**TINY, stem_levels=True, stem_pool=False).levels) == ["c1", "c2", "c3", "c4"]


@pytest.mark.parametrize("options, message", [
    (dict(output_stride=4), "output_stride must be 8, 16 or 32, got 4"),
    (dict(multi_grid=(1, 2)), r"multi_grid must be 3 numbers, one per block of the last stage, got \(1, 2\)")])
def test_wrong_dilation(options, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**DEEP, **options)


def test_sizes_of_aot_and_cfbi():
    frozen = ResNet(50, norm=dict(type="FrozenBN"), frozen_stages=1)
    assert sum(p.numel() for p in frozen.parameters()) == 8_512_704
    assert sum(p.numel() for p in frozen.parameters() if not p.requires_grad) == 222_400
    with torch.device("meta"):
        deep = ResNet(101, widths=(64, 128, 256, 512), norm=dict(type="FrozenBN"), output_stride=16, dilate_first=True,
                      multi_grid=(1, 2, 4))
        frame = torch.empty(1, 3, 465, 465)
    assert sum(p.numel() for p in deep.parameters()) == 42_394_816
    with FlopCounterMode(display=False) as counter:
        deep(frame)
    assert counter.get_total_flops() / 2e9 == pytest.approx(45.18, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("manifest, prefix, options, reverse, outputs", [
    ("r50_deaotl_2obj", "encoder.", dict(depth=50), False,
     {"encoder_4_frame1": ("c2", 16, 4), "encoder_8_frame1": ("c3", 32, 2), "encoder_16_frame1": ("c4", 64, 1)}),
    ("cfbi_r101_1obj", "feature_extracter.backbone.",
     dict(depth=101, widths=(64, 128, 256, 512), output_stride=16, dilate_first=True, multi_grid=(1, 2, 4)), True,
     {"low_level_frame1": ("c2", 16, 4), "backbone_frame0": ("c5", 64, 1)})])
def test_it_equals_the_backbones_of_aot_and_cfbi(shared, manifest, prefix, options, reverse, outputs):
    manifest = Manifest.read(shared / "golden" / f"{manifest}.json")
    model = ResNet(**options, norm=dict(type="FrozenBN"))
    load_weights(model, {name.removeprefix(prefix): torch.from_numpy(value)
                         for name, value in manifest.weights().items() if name.startswith(prefix)})
    frames = torch.from_numpy(manifest.frames()[:2].astype(np.float64) / 255)
    frames = frames.flip(-1) if reverse else frames
    frames = (frames - torch.tensor([0.485, 0.456, 0.406]).double()) / torch.tensor([0.229, 0.224, 0.225]).double()
    with torch.no_grad():
        pyramid = model.double().eval()(frames.permute(0, 3, 1, 2))
    for name, (level, channels, every) in outputs.items():
        found, expected = pyramid[level][int(name[-1]), ::channels, ::every, ::every].numpy(), manifest.expected[name]
        assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("told", [False, True])
def test_batch_norm_statistics_stay_in_training(told):
    model = ResNet(**TINY)
    if told:
        model.eval()
        model.train()
    before = {n: b.clone() for n, b in model.named_buffers()}
    x = torch.randn(4, 3, 32, 32) * 5 + 2
    trained = model(x)["c4"]
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    assert torch.equal(trained, model.eval()(x)["c4"])
    trained.sum().backward()
    assert model.bn1.weight.grad.abs().sum() > 0  # scale and shift do train


def test_batch_norm_statistics_move_if_asked():
    model = ResNet(**TINY, freeze_norm_stats=False).train()
    model(torch.randn(4, 3, 32, 32) + 2)
    assert model.bn1.num_batches_tracked == 1 and model.layer3[0].bn2.running_mean.abs().sum() > 0


def test_group_norm_has_no_state_and_smaller_groups_where_16_do_not_divide():
    model = ResNet(**{**TINY, "widths": (24, 32, 40)}, norm=dict(type="GN", channels_per_group=16))
    assert not list(model.buffers())
    groups = [model.layer1[0].bn1.num_groups, model.layer2[0].bn1.num_groups, model.layer3[0].bn1.num_groups]
    assert groups == [1, 2, 2]
    assert ResNet(**TINY, norm=dict(type="GN", channels_per_group=3)).layer2[0].bn1.num_groups == 2


def test_norm_can_be_left_out():
    model = ResNet(**TINY, norm=dict(type="none"), bias=True)
    assert not any("bn" in n for n in model.state_dict()) and model.layer1[0].conv1.bias is not None


@pytest.mark.parametrize("norm, message", [
    (dict(type="LN"), "unknown norm 'LN'"), (dict(type="GN", num_groups=2), "GN has no option 'num_groups'"),
    (dict(type="BN", momentun=0.1), "Did you mean 'momentum'")])
def test_wrong_norms_are_named(norm, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**TINY, norm=norm)


@pytest.mark.parametrize("options, message", [
    (dict(depth=51), "depth must be one of"), (dict(depth=None), "needs depth, or block"),
    (dict(depth=None, block="bassic", blocks=(1, 1, 1)), "bassic"),
    (dict(depth=None, block="basic", blocks=(1, 1)), "three numbers"), (dict(depth=18, widths=(4, 4)), "widths")])
def test_wrong_depth_block_or_widths_are_config_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        ResNet(**options)


class TestWeights:
    """Loading of ImageNet weights."""

    @pytest.fixture
    def source(self, tmp_path):
        """A torchvision-style file: with fc and layer4, in the old form without counters."""
        state = {k: v for k, v in randomised(ResNet(**TINY)).state_dict().items() if "num_batches" not in k}
        torch.save({**state, "fc.weight": torch.zeros(2, 2), "layer4.0.conv1.weight": torch.zeros(1)},
                   tmp_path / "weights.pth")
        return tmp_path / "weights.pth", state

    def test_every_tensor_is_taken(self, source):
        path, state = source
        loaded = ResNet(**TINY, weights=str(path)).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())

    def test_wider_stem_keeps_its_own_weights_for_the_new_channels(self, source):
        path, state = source
        torch.manual_seed(5)
        own = ResNet(**TINY, in_channels=5).conv1.weight.detach().clone()
        torch.manual_seed(5)
        stem = ResNet(**TINY, in_channels=5, weights=str(path)).conv1.weight
        assert torch.equal(stem[:, :3], state["conv1.weight"]) and torch.equal(stem[:, 3:], own[:, 3:])

    def test_convolutions_with_biases_compute_what_the_file_means(self, source):
        path, _ = source
        plain, biased = ResNet(**TINY, weights=str(path)).eval(), ResNet(**TINY, bias=True, weights=str(path)).eval()
        x = torch.randn(1, 3, 32, 32)
        assert torch.allclose(plain(x)["c4"], biased(x)["c4"])
        assert all(not m.bias.any() for m in biased.modules() if isinstance(m, nn.Conv2d))

    @pytest.mark.parametrize("change", [dict(widths=(4, 6, 10)), dict(blocks=(1, 2, 1)), dict(block="bottleneck"),
                                        dict(stem_kernel=5), dict(stem_kernel=5, in_channels=5),
                                        dict(norm=dict(type="GN"))])
    def test_weights_of_another_network_are_refused(self, source, change):
        with pytest.raises(CheckpointError, match="does not fit ResNet"):
            ResNet(**{**TINY, **change}, weights=str(source[0]))

    def test_missing_file(self, tmp_path):
        with pytest.raises(CheckpointError, match="not found"):
            ResNet(**TINY, weights=str(tmp_path / "none.pth"))
