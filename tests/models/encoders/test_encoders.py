"""KeyEncoder, ValueEncoder and what fuses their features."""

import pytest
import torch
from torch import nn

from vosplug.models.encoders import CBAMFuser, KeyEncoder, ResidualFuser, ValueEncoder
from vosplug.models.layers import CBAM, LastStage, PreActBlock, TopDownFusion
from vosplug.structures import Level, Rows
from vosplug.utils.errors import ConfigError

BACKBONE = dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=4, widths=(4, 6, 8))
FUSER = dict(type="ResidualFuser", channels=5)


def rows_of(active):
    return Rows.of_table(torch.tensor(active), range(1, 1 + len(active[0])))


def test_key_encoder_projects_the_last_stage():
    encoder = KeyEncoder(BACKBONE, key_channels=3, context_channels=7).eval()
    features = encoder(torch.randn(2, 3, 32, 48))
    assert features.key.shape == (2, 3, 2, 3) and features.context.shape == (2, 7, 2, 3)
    assert torch.equal(features.base, features.pyramid["c4"])
    assert torch.equal(features.key, encoder.key_proj(features.base))
    assert torch.equal(features.context, encoder.context_proj(features.base))
    assert (encoder.stride, encoder.key_channels, encoder.context_channels, encoder.base_channels) == (16, 3, 7, 8)
    assert encoder.levels == {"c2": Level(4, 4), "c3": Level(6, 8), "c4": Level(8, 16)}


def test_shallow_and_deep_features_are_the_whole_and_asking_twice_costs_nothing():
    encoder, frame = KeyEncoder(BACKBONE, key_channels=3, context_channels=7, anisotropic=True).eval(), torch.randn(
        2, 3, 40, 56)
    features, whole = encoder.shallow(frame), encoder(frame)
    assert features.frame is frame and list(features.pyramid) == ["c2", "c3"] and features.key is None
    fine, ran = features.pyramid["c3"], []
    for module in (encoder.backbone.layer1, encoder.backbone.layer3, encoder.key_proj):
        module.register_forward_pre_hook(lambda module, _inputs: ran.append(module))
    assert encoder.deep(features) is features and encoder.deep(features).pyramid["c3"] is fine
    assert ran == [encoder.backbone.layer3, encoder.key_proj]
    assert all(torch.equal(features.pyramid[name], x) for name, x in whole.pyramid.items())
    assert all(torch.equal(getattr(features, name), getattr(whole, name))
               for name in ("key", "context", "base", "shrinkage", "selection"))


def test_key_encoder_without_context_gives_the_base():
    encoder = KeyEncoder(BACKBONE, fusion=dict(type="TopDownFusion", channels=10), key_channels=3,
                         context_channels=None).eval()
    features = encoder(torch.randn(1, 3, 32, 48))
    assert features.context is features.base and features.base.shape == (1, 10, 4, 6)
    assert (encoder.stride, encoder.context_channels, encoder.base_channels) == (8, 10, 10)
    assert not any("context" in name for name in encoder.state_dict())


def test_keys_start_orthogonal():
    weight = KeyEncoder(BACKBONE, key_channels=6).key_proj.weight.flatten(1)
    assert torch.allclose(weight @ weight.T, torch.eye(6), atol=1e-5)


def test_top_down_fusion_is_the_formula():
    fusion = TopDownFusion({"c2": Level(2, 4), "c3": Level(3, 8), "c4": Level(4, 16)}, channels=5)
    pyramid = {"c3": torch.randn(1, 3, 4, 6), "c4": torch.randn(1, 4, 2, 3)}
    coarse = nn.functional.interpolate(fusion.coarse_proj(pyramid["c4"]), scale_factor=2, mode="bilinear",
                                       align_corners=False)
    assert torch.allclose(fusion(pyramid), (fusion.fine_proj(pyramid["c3"]) + coarse).relu(), atol=1e-6)


@pytest.mark.parametrize("levels", [("c3", "c5"), ("c3",)])
def test_fusion_of_levels_that_are_not_there(levels):
    with pytest.raises(ConfigError, match="must be two of c2, c3, c4"):
        KeyEncoder(BACKBONE, fusion=dict(type="TopDownFusion", levels=levels))


def test_last_stage():
    stage = LastStage({"c2": Level(2, 4), "c3": Level(3, 8), "c4": Level(9, 8)})
    last = torch.randn(1, 9, 1, 1)
    assert (stage.stride, stage.out_channels) == (8, 9) and stage({"c3": None, "c4": last}) is last


class TestValueEncoder:
    """What an object looks like to the value encoder."""

    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return ValueEncoder(BACKBONE, FUSER, base_channels=8).eval()

    @pytest.mark.parametrize("active", [[[True, True, True]] * 2, [[True, False, True], [False, True, True]]])
    def test_input_is_image_own_mask_and_the_others(self, encoder, active):
        seen = []
        encoder.backbone.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        frame, base, masks = torch.randn(2, 3, 32, 32), torch.randn(2, 8, 2, 2), torch.rand(2, 3, 32, 32)
        rows = rows_of(active)
        value = encoder(frame, base, masks, rows)
        assert value.shape == (len(rows), 5, 2, 2)
        for p, (b, o) in enumerate(zip(rows.batch.tolist(), rows.slot.tolist(), strict=True)):
            others = sum(masks[b, k] for k in range(3) if k != o)
            assert torch.equal(seen[0][p, :3], frame[b]) and torch.equal(seen[0][p, 3], masks[b, o])
            assert torch.allclose(seen[0][p, 4], others, atol=1e-6)

    def test_an_object_is_encoded_as_if_alone_in_its_batch(self, encoder):
        frame, base, masks = torch.randn(2, 3, 32, 32), torch.randn(2, 8, 2, 2), torch.rand(2, 2, 32, 32)
        together = encoder(frame, base, masks, rows_of([[True, True], [False, True]]))
        alone = encoder(frame[1:], base[1:], masks[1:], rows_of([[False, True]]))
        assert torch.allclose(together[2:], alone, atol=1e-5)

    def test_a_single_object_has_no_others(self, encoder):
        seen = []
        encoder.backbone.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        encoder(torch.randn(1, 3, 32, 32), torch.randn(1, 8, 2, 2), torch.rand(1, 1, 32, 32), rows_of([[True]]))
        assert seen[0][:, 4].abs().sum() == 0

    def test_masks_take_the_type_of_the_frame(self, encoder):
        encoder.double()
        value = encoder(torch.randn(1, 3, 32, 32).double(), torch.randn(1, 8, 2, 2).double(),
                        torch.ones(1, 1, 32, 32), rows_of([[True]]))
        assert value.dtype == torch.float64

    def test_strides_and_channels_are_published(self):
        encoder = ValueEncoder(BACKBONE, FUSER, base_channels=8, fusion=dict(type="TopDownFusion", channels=6))
        assert (encoder.stride, encoder.out_channels) == (8, 5)


@pytest.mark.parametrize("image_first", [False, True])
def test_cbam_fuser_is_the_formula(image_first):
    fuser = CBAMFuser(value_channels=3, base_channels=4, channels=32, image_first=image_first)
    value, base = torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4, 4)
    x = fuser.block1(torch.cat([base, value] if image_first else [value, base], dim=1))
    assert torch.allclose(fuser(value, base), fuser.block2(x + fuser.attention(x)), atol=1e-6)
    assert fuser.out_channels == 32


def test_cbam_is_the_formula():
    cbam = CBAM(32, reduction=16)
    x = torch.randn(2, 32, 5, 6)
    first, second = cbam.channel.mlp[0], cbam.channel.mlp[2]
    assert first.weight.shape == (2, 32)

    def mlp(v):
        return second(first(v).relu())

    scaled = x * torch.sigmoid(mlp(x.flatten(2).mean(2)) + mlp(x.flatten(2).max(2).values))[:, :, None, None]
    pooled = torch.stack([scaled.max(1).values, scaled.mean(1)], dim=1)
    expected = scaled * torch.sigmoid(nn.functional.conv2d(pooled, cbam.spatial.conv.weight, cbam.spatial.conv.bias,
                                                          padding=3))
    assert torch.allclose(cbam(x), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [(4, 4), (4, 6)])
def test_residual_block_is_the_formula(channels):
    block = PreActBlock(*channels)
    x = torch.randn(1, channels[0], 5, 5)
    assert (block.downsample is None) == (channels[0] == channels[1])
    skip = x if block.downsample is None else block.downsample(x)
    assert torch.allclose(block(x), skip + block.conv2(block.conv1(x.relu()).relu()), atol=1e-6)


def test_residual_fuser_uses_the_norm():
    fuser = ResidualFuser(3, 4, channels=32, norm=dict(type="GN"))
    assert isinstance(fuser.block.norm1, nn.GroupNorm) and fuser.block.norm1.num_groups == 2
    value, base = torch.randn(1, 3, 4, 4), torch.randn(1, 4, 4, 4)
    assert torch.equal(fuser(value, base), fuser.block(torch.cat([value, base], dim=1)))
