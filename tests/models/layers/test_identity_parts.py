"""Sine positions, stochastic depth, the identity bank, and what propagation blocks are made of."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vosplug.models.layers import DropPath, IdentityBank, SinePositions
from vosplug.models.layers.propagation import ConvFeedForward, GatedOutput, ShortTermAttention, to_map, to_tokens
from vosplug.utils.errors import ConfigError


def test_sine_positions_by_hand():
    """Half of the channels for y, first sine then cosine of each wave length; the last place is 2 pi."""
    layer = SinePositions(8)
    places = layer((3, 5), torch.zeros((), dtype=torch.float64)).view(3, 5, 8)
    assert places.dtype == torch.float64
    for y in range(3):
        for x in range(5):
            angles = [y / (2 + 1e-6) * 2 * math.pi, x / (4 + 1e-6) * 2 * math.pi]
            expected = [f(a / w) for a in angles for w in (1, 10_000**0.5) for f in (math.sin, math.cos)]
            assert places[y, x].tolist() == pytest.approx(expected, abs=1e-12)
    assert torch.isfinite(layer((1, 1), torch.zeros(()))).all()
    assert layer((2, 2), torch.zeros((), dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_drop_path_leaves_out_whole_rows_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = DropPath(0.25).train(), torch.ones(4000, 2, 3)
    out = layer(x)
    rows = out.flatten(1)
    assert ((rows == rows[:, :1]).all(dim=1)).all()
    assert rows[:, 0].unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(out.mean()) == pytest.approx(1, abs=0.02)
    assert layer.eval()(x) is x and DropPath(0.0).train()(x) is x
    with pytest.raises(ConfigError, match=r"DropPath.rate must lie in \[0, 1\), got 1"):
        DropPath(1)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_identity_bank_by_hand(stride):
    """A cell sees the s + 1 pixels around its own on each axis; sizes k s + 1 give k + 1 cells."""
    bank = IdentityBank(3, 8, stride).double()
    labels = torch.randint(0, 4, (2, 2 * stride + 1, 3 * stride + 1))
    out = bank(bank.one_hot(labels))
    assert out.shape == (2, 8, 3, 4)
    weight, bias = bank.conv.weight, bank.conv.bias
    half = stride // 2
    window = labels[1, stride - half : stride + half + 1, 2 * stride - half : 2 * stride + half + 1]
    expected = bias + sum(weight[:, window[y, x], y, x] for y in range(stride + 1) for x in range(stride + 1))
    assert torch.allclose(out[1, :, 1, 2], expected, atol=1e-12)


@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-12), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("norm", [False, True])
def test_labels_give_what_their_planes_give(norm, dtype, close):
    """As sums of weights; others than identities, and what lies beyond the map, count as none."""
    torch.manual_seed(0)
    bank = IdentityBank(5, 8, 4, norm=norm)
    nn.init.normal_(bank.conv.weight)
    bank = bank.to(dtype)
    labels = torch.randint(0, 6, (2, 9, 17), dtype=torch.uint8)
    out = bank(labels)
    assert out.shape == (2, 8, 3, 5) and out.dtype == dtype
    assert torch.allclose(out, bank(bank.one_hot(labels)), atol=close, rtol=close)


def test_identity_bank_normalises_and_starts_orthogonal():
    bank = IdentityBank(10, 256, 16, norm=True)
    assert bank.conv.weight.shape == (256, 11, 17, 17)
    rows = bank.conv.weight.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(256) * 17.0**-4, atol=1e-9)
    out = bank(bank.one_hot(torch.zeros(1, 33, 33, dtype=torch.long)))
    assert torch.allclose(out.mean(dim=1), torch.zeros(1, 3, 3), atol=1e-5)
    assert bank.one_hot(torch.full((1, 2, 2), 255)).sum() == 0
    with pytest.raises(ConfigError, match="stride must be even, got 5"):
        IdentityBank(stride=5)


def test_tokens_and_maps():
    x = torch.randn(2, 6, 5)
    assert torch.equal(to_tokens(to_map(x, (2, 3))), x)
    assert torch.equal(to_map(x, (2, 3))[1, 4], x[1, :, 4].view(2, 3))


def test_gated_output_by_hand():
    torch.manual_seed(0)
    layer = GatedOutput(6, 4, dropout=0.5).double().eval()
    read, gate = torch.randn(2, 12, 6, dtype=torch.float64), torch.randn(2, 12, 6, dtype=torch.float64)
    x = F.conv2d((read * gate).transpose(1, 2).view(2, 6, 3, 4), layer.conv.weight, padding=2, groups=6)
    expected = layer.proj(x.flatten(2).transpose(1, 2))
    assert torch.allclose(layer(read, gate, (3, 4)), expected, atol=1e-12)
    ones = torch.cat([gate[..., :2], torch.ones_like(gate[..., 2:])], dim=-1)
    assert torch.allclose(layer(read, gate[..., :2], (3, 4)), layer(read, ones, (3, 4)), atol=1e-12)


def test_gated_output_leaves_out_whole_channels():
    torch.manual_seed(0)
    layer = GatedOutput(64, 64, dropout=0.5).train()
    layer.conv.weight.data.zero_()
    layer.conv.weight.data[:, :, 2, 2] = 1
    layer.proj.weight.data.copy_(torch.eye(64))
    layer.proj.bias.data.zero_()
    out = layer(torch.ones(1, 4, 64), torch.ones(1, 4, 64), (2, 2))
    assert (out == out[:, :1]).all() and set(out.unique().tolist()) == {0.0, 2.0}
    assert 16 < int((out[0, 0] == 0).sum()) < 48


def test_feed_forward_by_hand():
    torch.manual_seed(0)
    layer = ConvFeedForward(4, 64).double()
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    hidden = layer.expand(x).transpose(1, 2).view(2, 64, 2, 3)
    hidden = F.conv2d(F.gelu(F.group_norm(hidden, 32, layer.norm.weight, layer.norm.bias)), layer.conv.weight,
                      padding=2, groups=64)
    assert torch.allclose(layer(x, (2, 3)), layer.reduce(hidden.flatten(2).transpose(1, 2)), atol=1e-12)


def test_learnt_vectors_by_offset_start_at_zero_and_logits_are_of_the_unscaled_query():
    torch.manual_seed(0)
    layer = ShortTermAttention(8, 2, 1, value_channels=4).double()
    assert layer.offset_values.shape == (2, 2, 9) and not layer.offset_values.any()
    query = torch.randn(1, 6, 8, dtype=torch.float64)
    key, value = torch.zeros(1, 6, 8, dtype=torch.float64), torch.randn(1, 6, 4, dtype=torch.float64)
    ours = layer(query, key, value, (2, 3))
    logits = layer.offset_logits(query.transpose(1, 2).view(1, 8, 2, 3))  # keys are zero: logits decide alone
    weights = logits.view(1, 2, 9, 2, 3)[0, 1, [4, 5, 7, 8], 0, 0].softmax(dim=0)
    assert torch.allclose(ours[0, 0, 2:], (weights[:, None] * value[0, [0, 1, 3, 4], 2:]).sum(dim=0), atol=1e-12)
