"""MobileNet-V2: torchvision's names, sizes of the paper, dilation, AOT's encoder."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vosplug.models.backbones import MobileNetV2
from vosplug.models.backbones.inverted_residuals import scaled
from vosplug.parity.manifest import Manifest
from vosplug.structures import Level
from vosplug.utils.checkpoint import load_weights
from vosplug.utils.errors import CheckpointError, ConfigError

FROZEN = dict(type="FrozenBN")


def frame_of(manifest, index):
    """(1, 3, H, W) float64, normalised as the source does."""
    x = torch.from_numpy(manifest.frames()[index].astype(np.float64) / 255)
    x = (x - torch.tensor([0.485, 0.456, 0.406]).double()) / torch.tensor([0.229, 0.224, 0.225]).double()
    return x.permute(2, 0, 1)[None]


@pytest.mark.parametrize("output_stride", [16, 32])
def test_levels(output_stride):
    model = MobileNetV2(output_stride=output_stride)
    assert model.levels == {"c2": Level(24, 4), "c3": Level(32, 8), "c4": Level(96, 16),
                            "c5": Level(1280, output_stride)}
    depthwise = [model.features[i].conv[1][0] for i in range(14, 18)]
    dilations = [1, 1, 1, 1] if output_stride == 32 else [1, 2, 2, 2]
    assert [conv.dilation[0] for conv in depthwise] == [conv.padding[0] for conv in depthwise] == dilations
    assert [conv.stride[0] for conv in depthwise] == [output_stride // 16, 1, 1, 1]


def test_sizes_are_those_of_the_paper_and_of_aot():
    model = MobileNetV2()
    assert sum(p.numel() for p in model.parameters()) == 2_223_872  # 3,504,872 with the classifier of 1,281,000
    frozen = MobileNetV2(norm=FROZEN, output_stride=16, frozen_stages=1)
    assert sum(p.numel() for p in frozen.parameters()) == 2_189_760
    assert sum(p.numel() for p in frozen.parameters() if not p.requires_grad) == 14_576
    assert all(p.requires_grad != (name.split(".")[1] in ("0", "1", "2", "3")) for name, p in frozen.named_parameters())


def test_the_formula_of_a_block():
    torch.manual_seed(0)
    model, x = MobileNetV2(width=0.25).eval(), torch.randn(1, 8, 9, 7)
    wide, deep, linear, norm = model.features[3].conv  # expands, keeps shape and channels
    out = F.relu6(wide[1](wide[0](x)))
    assert torch.equal(wide(x), out) and deep[0].groups == 48
    expected = x + norm(linear(F.relu6(deep[1](deep[0](out)))))
    assert torch.allclose(model.features[3](x), expected, atol=1e-6)
    assert len(model.features[1].conv) == 3 and not model.features[2].residual  # it has stride 2
    assert torch.equal(model.features[2](x), model.features[2].conv(x))


@pytest.mark.parametrize("channels, width, expected", [(32, 0.5, 16), (24, 0.35, 8), (96, 0.75, 72), (32, 0.1, 8),
                                                       (16, 0.7, 16), (1280, 1.4, 1792)])
def test_widths_are_multiples_of_eight(channels, width, expected):
    assert scaled(channels, width) == expected


def test_width_of_the_network():
    model = MobileNetV2(width=0.5)
    assert [level.channels for level in model.levels.values()] == [16, 16, 48, 1280]
    assert MobileNetV2(width=1.4).levels["c5"].channels == 1792


@pytest.mark.parametrize("options, message", [(dict(output_stride=4), "must be .*16 or 32, got 4"),
                                              (dict(width=0), "width must be positive"),
                                              (dict(frozen_stages=5), r"frozen_stages must lie in 0..4")])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        MobileNetV2(**options)


@pytest.mark.parametrize("norm", [None, FROZEN])
def test_weights_with_the_names_of_torchvision(shared, norm):
    path = shared / "weights" / "mobilenet_v2_imagenet_features.pth"
    source = torch.load(path, weights_only=True)
    model = MobileNetV2(norm=norm, output_stride=16, weights=str(path)).eval()
    state = model.state_dict()
    given = {name for name in source if norm is None or not name.endswith("num_batches_tracked")}
    assert set(state) == given and all(torch.equal(state[name], source[name]) for name in given)
    with pytest.raises(CheckpointError, match="does not fit MobileNetV2"):
        MobileNetV2(width=0.5, weights=str(path))


def test_it_equals_the_encoder_of_aot(shared):
    manifest = Manifest.read(shared / "golden" / "aott_2obj.json")
    weights = {name: torch.from_numpy(value) for name, value in manifest.weights().items()}
    model = MobileNetV2(norm=FROZEN, output_stride=16)
    load_weights(model, {n.removeprefix("encoder."): v for n, v in weights.items() if n.startswith("encoder.")})
    with torch.no_grad():
        pyramid = model.double().eval()(frame_of(manifest, 1))
    projected = F.conv2d(pyramid["c5"], weights["encoder_projector.weight"].double(),
                         weights["encoder_projector.bias"].double())
    for name, map_, step, every in (("4", pyramid["c2"], 1, 4), ("8", pyramid["c3"], 2, 2), ("16", pyramid["c4"], 6, 1),
                                    ("16_projected", projected, 16, 1)):
        found, expected = map_[0, ::step, ::every, ::every].numpy(), manifest.expected[f"encoder_{name}_frame1"]
        assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-6
