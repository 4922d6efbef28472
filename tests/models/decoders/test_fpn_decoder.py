"""FPNDecoder and ProjectedEncoder: sizes, stages, sharing of what belongs to the frame."""

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.decoders import FPNDecoder
from vosplug.models.encoders import ProjectedEncoder
from vosplug.structures import Level, Rows
from vosplug.utils.errors import ConfigError

LEVELS = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(12, 16), "c5": Level(20, 16)}


def rows_of(*exists):
    return Rows.of_table(torch.tensor(exists), [f"group {n}" for n in range(len(exists[0]))])


def pyramid(height=33, width=49, batch=2):
    torch.manual_seed(0)
    return {name: torch.randn(batch, level.channels, -(-height // level.stride), -(-width // level.stride))
            for name, level in LEVELS.items()}


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("size", [(33, 49), (17, 17), (50, 31)])
def test_logits_have_stride_four(size, context):
    decoder = FPNDecoder(10, 5, LEVELS, outputs=4, channels=16, context=context)
    rows, levels = rows_of([True, False], [True, True]), pyramid(*size)
    grid = levels["c4"].shape[-2:]
    coarse = decoder.coarse(torch.randn(3, 10, *grid), torch.randn(2, 5, *grid), levels, rows)
    assert coarse.shape == (3, 16, *grid)
    assert decoder.fine(coarse, levels, rows).shape == (3, 4, *levels["c2"].shape[-2:]) and decoder.stride == 4


def test_decoder_by_hand():
    decoder = FPNDecoder(10, 5, LEVELS, outputs=4, channels=16).double()
    rows = rows_of([True])
    levels = {name: x.double() for name, x in pyramid(batch=1).items()}
    read, context = torch.randn(1, 10, 3, 4, dtype=torch.float64), torch.randn(1, 5, 3, 4, dtype=torch.float64)

    def block(part, x, padding):
        x = F.conv2d(x, part.conv.weight, part.conv.bias, padding=padding)
        return F.relu(F.group_norm(x, 8, part.norm.weight, part.norm.bias))

    x = block(decoder.conv_in, torch.cat([context, read], dim=1), 0)
    for number, name in enumerate(("c4", "c3", "c2")):
        x = F.interpolate(x, size=levels[name].shape[-2:], mode="bilinear", align_corners=True)
        x = block(decoder.convs[number], x + decoder.adapters[number](levels[name]), 1)
    ours = decoder.fine(decoder.coarse(read, context, levels, rows), levels, rows)
    assert torch.allclose(ours, decoder.conv_out(x), atol=1e-12)


def test_without_context_the_frame_comes_in_by_its_levels_alone():
    decoder = FPNDecoder(10, 5, LEVELS, outputs=4, channels=16, context=False)
    read, levels = torch.randn(2, 10, 3, 4), pyramid()
    a, b = (decoder.coarse(read, torch.randn(2, 5, 3, 4), levels, rows_of([True], [True])) for _ in range(2))
    assert torch.equal(a, b) and decoder.conv_in.conv.in_channels == 10


def test_skips_that_the_backbone_lacks_are_refused():
    with pytest.raises(ConfigError, match=r"must be three levels of the backbone \(c2, c3, c4, c5\)"):
        FPNDecoder(10, 5, LEVELS, skips=("c4", "c3"))
    with pytest.raises(ConfigError, match="got .'c6', 'c3', 'c2'"):
        FPNDecoder(10, 5, LEVELS, skips=("c6", "c3", "c2"))


BACKBONES = {
    "mobilenet": (dict(type="MobileNetV2", output_stride=16, norm=dict(type="FrozenBN")), "c5", 1280),
    "resnet": (dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=4, widths=(4, 6, 8)),
               "c4", 8)}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_last_level_is_projected(name):
    backbone, last, channels = BACKBONES[name]
    encoder = ProjectedEncoder(backbone, channels=10).eval()
    assert encoder.stride == 16 and encoder.out_channels == 10 and encoder.proj.in_channels == channels
    frame = torch.randn(1, 3, 33, 49)
    with torch.no_grad():
        shallow = encoder.shallow(frame)
        levels, projected = encoder.deep(shallow)
        whole, same = encoder(frame)
    assert list(shallow)[-1] == "c3" and list(levels)[-1] == last
    assert projected.shape == (1, 10, 3, 4) and torch.equal(projected, same)
    assert all(torch.equal(levels[k], whole[k]) for k in whole)
    assert torch.allclose(projected, encoder.proj(levels[last]), atol=1e-6)


def test_a_shallow_level_that_there_is_not():
    with pytest.raises(ConfigError, match="shallow must be a level of the backbone .*, got 'c7'"):
        ProjectedEncoder(BACKBONES["resnet"][0], shallow="c7")


def test_encoder_and_decoder_compile_in_one_graph():
    encoder = ProjectedEncoder(BACKBONES["mobilenet"][0], channels=16).eval()
    decoder = FPNDecoder(16, 16, encoder.levels, outputs=4, channels=16).eval()
    rows, frame = rows_of([True]), torch.randn(1, 3, 33, 49)

    def decode(read, context, levels):
        return decoder.fine(decoder.coarse(read, context, levels, rows), levels, rows)

    with torch.no_grad():
        levels, projected = encoder(frame)
        ours = torch.compile(encoder, fullgraph=True, backend="aot_eager")(frame)
        assert torch.allclose(ours[1], projected, atol=1e-4)
        compiled = torch.compile(decode, fullgraph=True, backend="aot_eager")
        assert torch.allclose(compiled(projected, projected, levels), decode(projected, projected, levels), atol=1e-4)
