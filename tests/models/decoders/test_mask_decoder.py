"""MaskDecoder: what is shared by the objects of a frame, and what is not."""

import pytest
import torch
from torch import nn

from vosplug.models.decoders import MaskDecoder
from vosplug.models.encoders import FrameFeatures
from vosplug.structures import Level, Rows
from vosplug.utils.errors import ConfigError

LEVELS = {"c2": Level(3, 4), "c3": Level(4, 8), "c4": Level(6, 16)}
SIZE = (32, 48)


def decoder_of(**options):
    torch.manual_seed(1)
    return MaskDecoder(value_channels=5, context_channels=2, levels=LEVELS,
                       **{"stride": 16, "compress_channels": 8, "up_channels": (7, 6), **options}).eval()


def features_of(batch, stride=16):
    generator = torch.Generator().manual_seed(batch)
    pyramid = {name: torch.randn(batch, level.channels, SIZE[0] // level.stride, SIZE[1] // level.stride,
                                 generator=generator) for name, level in LEVELS.items()}
    context = torch.randn(batch, 2, SIZE[0] // stride, SIZE[1] // stride, generator=generator)
    return FrameFeatures(frame=None, pyramid=pyramid, context=context)


def decode(decoder, readout, features, rows, previous=None):
    return decoder.fine(decoder.coarse(readout, features, rows, previous=previous), features, rows, SIZE)


def rows_of(active):
    return Rows.of_table(torch.tensor(active), range(1, 1 + len(active[0])))


def test_one_object_is_the_formula():
    decoder, features, readout = decoder_of(), features_of(1), torch.randn(1, 5, 2, 3)
    x = decoder.compress(torch.cat([readout, features.context], dim=1))
    for level, up in zip(("c3", "c2"), decoder.ups, strict=True):
        x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = up.out_conv(x + up.skip_conv(features.pyramid[level]))
    x = nn.functional.interpolate(decoder.pred(x.relu()), scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.allclose(decode(decoder, readout, features, rows_of([[True]])), x, atol=1e-6)


@pytest.mark.parametrize("active", [[[True]], [[True] * 5], [[True, True], [True, False]], [[False, True]] * 3])
def test_skip_convolutions_run_once_per_frame(active):
    decoder, seen = decoder_of(), []
    for up in decoder.ups:
        up.skip_conv.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    rows = rows_of(active)
    logits = decode(decoder, torch.randn(len(rows), 5, 2, 3), features_of(len(active)), rows)
    assert seen == [len(active)] * 2 and logits.shape == (len(rows), 1, *SIZE)


def test_objects_are_decoded_as_if_alone():
    decoder, features, rows = decoder_of(), features_of(2), rows_of([[True, True], [False, True]])
    readout = torch.randn(3, 5, 2, 3)
    together = decode(decoder, readout, features, rows)
    for p, b in enumerate((0, 0, 1)):
        own = FrameFeatures(frame=None, pyramid={name: f[b : b + 1] for name, f in features.pyramid.items()},
                            context=features.context[b : b + 1])
        assert torch.allclose(together[p], decode(decoder, readout[p : p + 1], own, rows_of([[True]]))[0], atol=1e-5)


def test_previous_masks_are_further_inputs():
    decoder, features, rows = decoder_of(previous_masks=True), features_of(2), rows_of([[True, True], [False, True]])
    seen = []
    decoder.compress.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    previous, readout = torch.rand(2, 2, *SIZE), torch.randn(3, 5, 2, 3)
    logits = decode(decoder, readout, features, rows, previous)
    small = previous.view(2, 2, 2, 16, 3, 16).mean(dim=(3, 5))
    for p, (b, o) in enumerate(((0, 0), (0, 1), (1, 1))):
        assert torch.allclose(seen[0][p, -2], small[b, o], atol=1e-6)
        assert torch.allclose(seen[0][p, -1], small[b, 1 - o], atol=1e-6)
    assert not torch.allclose(logits, decode(decoder, readout, features, rows, 1 - previous))


def test_previous_masks_are_not_used_without_being_asked_for():
    decoder, features, readout = decoder_of(), features_of(1), torch.randn(1, 5, 2, 3)
    first = decode(decoder, readout, features, rows_of([[True]]), torch.zeros(1, 1, *SIZE))
    assert torch.equal(first, decode(decoder, readout, features, rows_of([[True]]), torch.ones(1, 1, *SIZE)))


def test_keys_at_a_finer_stride_need_fewer_steps():
    decoder = decoder_of(stride=8, up_channels=(6,))
    assert decoder.skip_levels == ["c2"]
    logits = decode(decoder, torch.randn(2, 5, 4, 6), features_of(1, stride=8), rows_of([[True, True]]))
    assert logits.shape == (2, 1, *SIZE)


def test_the_fine_half_reads_nothing_but_finer_levels_and_gives_its_scales():
    decoder, features, rows = decoder_of(), features_of(1), rows_of([[True, True]])
    coarse = decoder.coarse(torch.randn(2, 5, 2, 3), features, rows)
    assert coarse.shape == (2, 8, 2, 3)
    shallow = FrameFeatures(frame=None, pyramid={name: features.pyramid[name] for name in ("c2", "c3")})
    logits, scales = decoder.fine(coarse, shallow, rows, SIZE, return_scales=True)
    assert torch.equal(logits, decoder.fine(coarse, features, rows, SIZE)) and scales[0] is coarse
    assert [tuple(x.shape) for x in scales] == [(2, 8, 2, 3), (2, 7, 4, 6), (2, 6, 8, 12), (2, 1, 8, 12)]
    assert decoder.scale_channels == [8, 7, 6] and torch.equal(scales[-1], decoder.pred(scales[-2].relu()))


def test_of_levels_that_share_a_stride_the_last_is_taken():
    levels = {"stem": Level(9, 4), "c2": Level(3, 4), "c3": Level(4, 8), "c4": Level(6, 8)}
    decoder = MaskDecoder(5, 2, levels, stride=8, compress_channels=8, up_channels=(6,))
    assert decoder.skip_levels == ["c2"] and decoder.ups[0].skip_conv.in_channels == 3


@pytest.mark.parametrize("options", [dict(up_channels=(8, 8, 8)), dict(stride=8, up_channels=(8, 8))])
def test_more_steps_than_the_backbone_has_strides(options):
    with pytest.raises(ConfigError, match=r"no level of stride 2 \(it has \[4, 8, 16\]\)"):
        decoder_of(**options)


def test_output_bias_and_norm():
    decoder = decoder_of(output_bias=-2.0, norm=dict(type="GN", channels_per_group=4))
    assert decoder.pred.bias.item() == -2 and decoder.compress.norm1.num_groups == 2
    assert not any("skip_conv.norm" in n for n in decoder.state_dict())
