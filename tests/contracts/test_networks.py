"""What backbones, encoders, decoders and layers must do."""

import pytest
import torch

from vosplug.models.encoders import FrameFeatures
from vosplug.models.memories import FrameBank
from vosplug.registry import BACKBONES, DECODERS, ENCODERS, LAYERS, PREPROCESSORS
from vosplug.utils.errors import ConfigError, InputError

from .parts import CELLS, CV, FRAME, LEVELS, cases, memory_of, pyramid_of, rows_of

CPU = torch.device("cpu")
ODD_FRAME = (37, 51)


def backpropagate(*outputs):
    """From the sum of squares."""
    sum(x.square().sum() for x in outputs).backward()


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("part", cases(BACKBONES))
def test_backbones_publish_their_levels(part, channels):
    backbone = part.build(in_channels=channels)
    pyramid = backbone(torch.randn(2, channels, *ODD_FRAME))
    expected = pyramid_of(2, backbone.levels, ODD_FRAME)
    assert [(name, x.shape) for name, x in pyramid.items()] == [(name, x.shape) for name, x in expected.items()]
    strides = [level.stride for level in backbone.levels.values()]
    assert {"c2", "c3"} <= set(backbone.levels) and strides == sorted(strides)
    backpropagate(*pyramid.values())
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("part", cases(BACKBONES))
def test_backbones_compute_as_far_as_asked_and_go_on_from_there(part):
    backbone, x = part.build().eval(), torch.randn(1, 3, *ODD_FRAME)
    with torch.no_grad():
        whole, names = backbone(x), list(backbone.levels)
        for count, name in enumerate(names, start=1):
            begun = backbone(x, upto=name)
            assert list(begun) == names[:count]
            again = backbone.extend(begun, upto=name)
            assert list(again) == names[:count] and all(again[n] is begun[n] for n in begun)
            assert list(begun) == names[:count]  # the pyramid that was given is left alone
            rest = backbone.extend(begun)
            assert list(rest) == names and all(torch.equal(rest[n], whole[n]) for n in names)
            assert all(rest[n] is begun[n] for n in begun)
    with pytest.raises(ConfigError, match=f"has no level 'c9'; its levels: {', '.join(names)}"):
        backbone(x, upto="c9")
    with pytest.raises(InputError, match="the pyramid has none"):
        backbone.extend({})


@pytest.mark.parametrize("part", cases(ENCODERS, "keys"))
def test_key_encoders_publish_their_channels(part):
    encoder = part.build()
    features = encoder(torch.randn(2, 3, *FRAME))
    grid = tuple(s // encoder.stride for s in FRAME)
    assert features.key.shape == (2, encoder.key_channels, *grid)
    assert features.context.shape == (2, encoder.context_channels, *grid)
    assert features.base.shape == (2, encoder.base_channels, *grid)
    assert {name: x.shape for name, x in features.pyramid.items()} == {
        name: x.shape for name, x in pyramid_of(2, encoder.levels).items()}


@pytest.mark.parametrize("part", cases(ENCODERS, "keys"))
def test_key_encoders_do_at_first_what_is_cheap_and_the_rest_once(part):
    encoder, frame = part.build().eval(), torch.randn(2, 3, *FRAME)
    with torch.no_grad():
        shallow = encoder.shallow(frame)
        assert shallow.frame is frame and shallow.key is None and shallow.pyramid
        assert set(shallow.pyramid) <= set(encoder.levels)
        deep = encoder.deep(shallow)
        key, whole = deep.key, encoder(frame)
        assert torch.equal(key, whole.key) and torch.equal(deep.context, whole.context)
        assert encoder.deep(deep).key is key


@pytest.mark.parametrize("part", cases(ENCODERS, "values"))
def test_value_encoders_publish_their_channels(part):
    encoder = part.build(base_channels=11)
    grid = tuple(s // encoder.stride for s in FRAME)
    rows, frame, masks = rows_of([[True, False], [True, True]]), torch.randn(2, 3, *FRAME), torch.rand(2, 2, *FRAME)
    base = torch.randn(2, 11, *grid)
    value = encoder(frame, base, masks, rows)
    assert value.shape == (3, encoder.out_channels, *grid)
    with torch.no_grad():
        encoder.eval()
        one = encoder(frame, base, masks, rows.select([False, True, False]))
        assert torch.allclose(one[0], encoder(frame, base, masks, rows)[1], atol=1e-5)


@pytest.mark.parametrize("part", cases(ENCODERS, "projection"))
def test_projecting_encoders_publish_their_channels(part):
    encoder = part.build()
    pyramid, projected = encoder(torch.randn(2, 3, *FRAME))
    assert projected.shape == (2, encoder.out_channels, *(s // encoder.stride for s in FRAME))
    assert {name: x.shape for name, x in pyramid.items()} == {
        name: x.shape for name, x in pyramid_of(2, encoder.levels).items()}


@pytest.mark.parametrize("part", cases(DECODERS, "groups"))
def test_decoders_of_groups_share_what_belongs_to_the_frame(part):
    decoder = part.build(outputs=4).eval()
    pyramid, context, read = pyramid_of(2), torch.randn(2, 3, *CELLS), torch.randn(3, CV, *CELLS)
    rows = rows_of([[True, True], [False, True]])
    with torch.no_grad():
        three = decoder.fine(decoder.coarse(read, context, pyramid, rows), pyramid, rows)
        last = rows_of([[True]])
        own = {name: x[1:] for name, x in pyramid.items()}
        one = decoder.fine(decoder.coarse(read[2:], context[1:], own, last), own, last)
    assert three.shape == (3, 4, *(s // decoder.stride for s in FRAME)) and torch.allclose(three[2:], one, atol=1e-5)


@pytest.mark.parametrize("part", cases(DECODERS))
def test_decoders_give_one_map_per_object_whatever_their_number(part):
    decoder = part.build().eval()
    features = FrameFeatures(frame=torch.randn(1, 3, *FRAME), pyramid=pyramid_of(1),
                             context=torch.randn(1, 3, *CELLS))
    readout, previous = torch.randn(3, CV, *CELLS), torch.zeros(1, 3, *FRAME)
    with torch.no_grad():
        logits = []
        for count in (3, 1):
            rows = rows_of([[True] * count])
            coarse = decoder.coarse(readout[:count], features, rows, previous=previous[:, :count])
            logits.append(decoder.fine(coarse, features, rows, FRAME))
    three, one = logits
    assert three.shape == (3, 1, *FRAME) and torch.allclose(three[0], one[0], atol=1e-5)


@pytest.mark.parametrize("part", cases(DECODERS))
def test_decoders_decode_a_subset_of_the_rows_as_all_of_them(part):
    decoder = part.build().eval()
    features = FrameFeatures(frame=torch.randn(2, 3, *FRAME), pyramid=pyramid_of(2),
                             context=torch.randn(2, 3, *CELLS))
    rows, previous = rows_of([[True, True], [False, True]]), torch.rand(2, 2, *FRAME)
    readout, some = torch.randn(3, CV, *CELLS), torch.tensor([False, True, True])

    def decode(readout, rows):
        coarse = decoder.coarse(readout, features, rows, previous=previous)
        return decoder.fine(coarse, features, rows, FRAME)

    with torch.no_grad():
        assert torch.allclose(decode(readout[some], rows.select(some)), decode(readout, rows)[some], atol=1e-5)


@pytest.mark.parametrize("part", cases(DECODERS, "score"))
def test_refiners_bring_a_score_to_the_size_of_the_frame_row_by_row(part):
    decoder = part.build().eval()
    features, score = pyramid_of(3), torch.randn(3, 1, *CELLS)
    with torch.no_grad():
        x = decoder.coarse(features, score)
        logits = decoder.fine(features, score, x, FRAME)
        own = {name: level[1:2] for name, level in features.items()}
        alone = decoder.fine(own, score[1:2], decoder.coarse(own, score[1:2]), FRAME)
    assert x.shape == (3, decoder.out_channels, FRAME[0] // decoder.stride, FRAME[1] // decoder.stride)
    assert logits.shape == (3, 1, *FRAME) and torch.allclose(alone[0], logits[1], atol=1e-5)


@pytest.mark.parametrize("part", cases(LAYERS, "samples"))
def test_samples_of_a_first_frame_are_those_of_the_seed(part):
    maker, preprocessor = part.build(), PREPROCESSORS.build(dict(type="VOSPreprocessor", divisor=1))
    frame, _ = preprocessor.frames(torch.randint(0, 256, (1, 3, 40, 48), dtype=torch.uint8))
    mask = torch.zeros(40, 48)
    mask[10:26, 12:32] = 1
    frames, masks = maker(frame[0], mask, (0, 1, 2), preprocessor)
    assert frames.shape == (maker.count, 3, 40, 48) and masks.shape == (maker.count, 40, 48)
    assert torch.equal(frames[0], frame[0]) and torch.equal(masks[0], mask) and set(masks.unique().tolist()) == {0, 1}
    torch.manual_seed(5)
    again = maker(frame[0], mask, (0, 1, 2), preprocessor)
    assert torch.equal(again[0], frames) and torch.equal(again[1], masks)


@pytest.mark.parametrize("part", cases(LAYERS, "fusion"))
def test_fusions_publish_stride_and_channels(part):
    fusion = part.build(in_levels=LEVELS)
    out = fusion(pyramid_of(2))
    assert out.shape == (2, fusion.out_channels, FRAME[0] // fusion.stride, FRAME[1] // fusion.stride)


@pytest.mark.parametrize("part", cases(LAYERS, "fuser"))
def test_fusers_publish_channels_and_use_both_inputs(part):
    fuser = part.build(value_channels=3, base_channels=4)
    value, base = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 4, 4, 4, requires_grad=True)
    out = fuser(value, base)
    assert out.shape == (2, fuser.out_channels, 4, 4)
    backpropagate(out)
    assert value.grad.abs().sum() > 0 and base.grad.abs().sum() > 0


@pytest.mark.parametrize("part", cases(LAYERS, "prior"))
def test_priors_prefer_what_is_near(part):
    prior = part.build()
    rows, columns = prior(list(memory_of(FrameBank(every=1))), CELLS, 3, CPU)
    bias = (rows @ columns).view(6, 3, 6)
    assert torch.equal(bias.argmax(dim=-1), torch.arange(6)[:, None].expand(6, 3))


@pytest.mark.parametrize("part", cases(LAYERS, "identities"))
def test_identity_banks_embed_at_the_stride_of_the_keys(part):
    bank = part.build(max_objects=3, channels=6, stride=8)
    labels = torch.randint(0, 4, (2, 25, 33))
    assert bank(bank.one_hot(labels)).shape == (2, 6, 4, 5) and (bank.one_hot(labels).argmax(dim=1) == labels).all()


@pytest.mark.parametrize("part", cases(LAYERS, "positions"))
def test_positions_tell_cells_apart(part):
    places = part.build(channels=16)((5, 7), torch.zeros(()))
    assert places.shape == (35, 16) and len(places.unique(dim=0)) == 35


@pytest.mark.parametrize("part", cases(LAYERS, "spacetime positions"))
def test_spacetime_positions_have_any_size_and_tell_cells_apart(part):
    position = part.build(channels=16)
    for frames, size in (([0, 3], (5, 7)), ([150, 299], (118, 3))):
        places = position(frames, size, torch.zeros((), dtype=torch.float64))
        assert places.shape == (2, *size, 16) and places.dtype == torch.float64 and torch.isfinite(places).all()
        apart = len(places.flatten(0, 2).unique(dim=0))
        assert apart == (1 if part.name == "NoPosition" else 2 * size[0] * size[1])


@pytest.mark.parametrize("part", cases(LAYERS, "token norm"))
def test_token_norms_know_one_frame(part):
    norm = part.build(channels=6)
    x = torch.randn(2, 3, 4, 5, 6) * 7
    assert torch.allclose(norm(x)[:, 1], norm(x[:, 1]), atol=1e-6) and norm(x).abs().mean() < 1


@pytest.mark.parametrize("part", cases(LAYERS, "drop"))
def test_drops_rest_outside_training(part):
    layer, x = part.build(), torch.ones(64, 3)
    assert torch.equal(layer.eval()(x), x) and 10 < int((layer.train()(x) == 0).all(dim=1).sum()) < 54


def check_update(update, x, hidden):
    """The state keeps its shape and its bounds, and everything is trained."""
    out = update(x, hidden)
    assert out.shape == hidden.shape and (out.abs() <= 1).all()
    backpropagate(out)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in update.parameters())


@pytest.mark.parametrize("part", cases(LAYERS, "update"))
def test_updates_keep_the_shape_and_the_bounds_of_the_state(part):
    check_update(part.build(in_channels=5), torch.randn(2, 5, 2, 3), torch.rand(2, 3, 2, 3) * 2 - 1)


@pytest.mark.parametrize("part", cases(LAYERS, "update of scales"))
def test_updates_from_several_scales_keep_the_shape_and_the_bounds_of_the_state(part):
    scales = [torch.randn(2, 5, 2, 3), torch.randn(2, 4, 4, 6), torch.randn(2, 1, 4, 6)]
    check_update(part.build(in_channels=(5, 4)), scales, torch.rand(2, 3, 2, 3) * 2 - 1)
