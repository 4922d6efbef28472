"""The encoder of CFBI and SST: weights to begin with."""

import pytest
import torch

from vosplug.models.necks.deeplab import PUBLIC_NAMES, public_name
from vosplug.registry import ENCODERS
from vosplug.utils.errors import CheckpointError, ConfigError

FROZEN = dict(type="FrozenBN")
BACKBONE = dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=8, widths=(8, 8, 16),
                output_stride=16, norm=FROZEN)
NECK = dict(type="DeepLabV3Plus", channels=16, low_channels=8, norm=FROZEN)


def build(**options):
    return ENCODERS.build(dict(type="PixelEmbedding", backbone=BACKBONE, neck=NECK, channels=8, **options))


def public_file(encoder, path, **extra):
    """The weights of backbone and neck by the public names, with counters and a classifier, as files have them."""
    places = {public_name(name): name for name in (
        *(f"aspp.aspp{number}.{leaf}" for number in range(1, 5) for leaf in leaves("atrous_conv", "bn")),
        *(f"aspp.{part}.{leaf}" for part, kind in (("global_avg_pool.1", "conv"), ("global_avg_pool.2", "bn"))
          for leaf in ONE[kind]),
        *(f"aspp.{leaf}" for leaf in leaves("conv1", "bn1")), *(f"decoder.{leaf}" for leaf in leaves("conv1", "bn1")),
        *(f"decoder.last_conv.{leaf}" for leaf in (*leaves("0", "1"), *leaves("4", "5"))))}
    state = {f"backbone.{name}": value for name, value in encoder.backbone.state_dict().items()}
    state.update({places[name]: value for name, value in encoder.neck.state_dict().items()})
    counters = {f"{name.removesuffix('running_mean')}num_batches_tracked": torch.tensor(7) for name in state
                if name.endswith("running_mean")}
    torch.save({"state_dict": {**state, **counters, "decoder.last_conv.8.weight": torch.zeros(21, 16, 1, 1), **extra}},
               path)
    return path


ONE = {"conv": ("weight",), "bn": ("weight", "bias", "running_mean", "running_var")}


def leaves(conv, norm):
    """Names of a convolution and its norm."""
    return [f"{conv}.{leaf}" for leaf in ONE["conv"]] + [f"{norm}.{leaf}" for leaf in ONE["bn"]]


def test_a_whole_deeplab_is_loaded(tmp_path):
    torch.manual_seed(0)
    source = build()
    path = public_file(source, tmp_path / "deeplab.pth")
    torch.manual_seed(1)
    ours = build(weights=str(path))
    frame = torch.rand(1, 3, 33, 49)
    for part in ("backbone", "neck"):
        a, b = (getattr(encoder, part).state_dict() for encoder in (source, ours))
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(source.pointwise.weight, ours.pointwise.weight)
    assert ours.eval()(frame).embedding.shape == (1, 8, 9, 13) and len(PUBLIC_NAMES) == 18


def test_weights_of_something_else_are_refused(tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, other)
    with pytest.raises(CheckpointError, match="holds no DeepLabv3\\+"):
        build(weights=str(other))
    more = public_file(build(), tmp_path / "more.pth", **{"aspp.aspp5.bn.bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="aspp5"):
        build(weights=str(more))


def test_the_fine_level_may_be_another_one():
    encoder = build(low_level="c3")
    features = encoder(torch.rand(1, 3, 33, 49))
    assert encoder.low_channels == 8 and features.pyramid[encoder.low_level].shape[-2:] == (5, 7)
    assert features.embedding.shape[-2:] == (9, 13)
    with pytest.raises(ConfigError, match=r"low_level must be a level of the backbone \(c2, c3, c4\), got 'c6'"):
        build(low_level="c6")
