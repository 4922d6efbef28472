"""TTVOS: what is kept of objects and how it follows, merging, sizes, training, the published numbers."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.contracts.helpers import advance, boxes, build_changed, build_model, random_frames, track, training_batch
from vosplug.evaluation.complexity import measure_frames
from vosplug.models.segmentors.ttvos import MASKS, PREVIOUS, TEMPLATE
from vosplug.registry import SEGMENTORS
from vosplug.structures import MaskTransition, Prompt, TemplateMask
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError, InputError

SIZE = (48, 64)


def ttvos(**options):
    """A tiny TTVOS in double precision; options are those of the model."""
    return build_changed("TTVOS", {f"model.{name}": value for name, value in options.items()}).double()


def pooled(mask):
    """(1, 1, H, W) mask of an object -> background and object at stride 8, (1, 2, H/8, W/8)."""
    both = torch.cat([1 - mask, mask], dim=1)
    for _ in range(3):
        both = F.avg_pool2d(both, 3, stride=2, padding=1)
    return both


def read(model, state, name, value):
    """What is kept of an object under a name, (1, ...)."""
    rows = model.rows(state)
    return state.objects.read(name, rows.having({(0, value)}))


def test_masks_are_the_last_ones_newest_first_and_zero_before():
    model, masks = ttvos(), boxes(2, SIZE).double()
    state, given = model.init_state(), []
    for t, frame in enumerate(random_frames(5, SIZE)):
        prompts = {0: ((1,), masks[:, :1]), 2: ((5,), masks[:, 1:])}
        with torch.no_grad():
            advance(model, state, frame, prompts.get(t))
        given.insert(0, {value: state.masks[:, [channel]] for channel, value in enumerate(state.ids)})
        for value, start in ((1, 0), (5, 2)):
            if t >= start:
                own = [pooled(frame[value]) for frame in given[: t - start + 1]][:3]
                expected = torch.cat([*own, torch.zeros(1, 6 - 2 * len(own), 6, 8, dtype=torch.float64)], dim=1)
                assert torch.allclose(read(model, state, MASKS, value), expected, atol=1e-12)


def test_a_late_object_has_its_template_from_its_own_first_frame():
    model, masks, frames = ttvos(), boxes(2, SIZE), random_frames(4, SIZE)
    state, alone = model.init_state(), model.init_state()
    track(model, frames[:3], {0: ((1,), masks[:, :1]), 2: ((2,), masks[:, 1:])}, state=state)
    track(model, frames[2:3], {0: ((2,), masks[:, 1:])}, state=alone)
    for name in (TEMPLATE, PREVIOUS, MASKS):
        assert torch.allclose(read(model, state, name, 2), read(model, alone, name, 2), atol=1e-6), name
    wrong = model.init_state()
    track(model, frames[:1], {0: ((2,), masks[:, 1:])}, state=wrong)
    assert not torch.allclose(read(model, state, TEMPLATE, 2), read(model, wrong, TEMPLATE, 2), atol=1e-6)


def test_the_template_follows_by_the_share_that_decoding_gives():
    model, frames = ttvos(), random_frames(2, SIZE)
    state = model.init_state()
    track(model, frames[:1], {0: ((1,), boxes(1, SIZE))}, state=state)
    before, seen = read(model, state, TEMPLATE, 1), []
    share = model.decoder.share
    model.decoder.share = lambda joined: (seen.append(share(joined)), seen[-1])[1]
    track(model, frames[1:], state=state)
    with torch.no_grad():
        features = model.encode_deep(model.encode_shallow(model.data_preprocessor.frames(frames[1:])[0]))
        new = model.matching_head.template(model.early(features), read(model, state, MASKS, 1))
    assert len(seen) == 1 and seen[0].shape == (1, 1, 1) and 0 < float(seen[0]) < 1
    expected = (before + seen[0] * new) / (1 + seen[0])
    assert torch.allclose(read(model, state, TEMPLATE, 1), expected, atol=1e-12)
    assert torch.equal(read(model, state, PREVIOUS, 1), features.pyramid[model.deep_level])


def test_batches_equal_videos_one_by_one():
    model, masks = ttvos(), boxes(2, (33, 47)).double()
    frames = torch.stack([random_frames(4, (33, 47), seed) for seed in (1, 2, 3)])
    alone = [track(model, video, {0: ((1, 2), masks)}) for video in frames]
    state = model.init_state(3)
    for t in range(4):
        x, geometry = model.data_preprocessor.frames(frames[:, t])
        given = model.data_preprocessor.masks(masks, geometry).expand(3, -1, -1, -1)
        with torch.no_grad():
            logits = model.step(state, x, Prompt(ids=(1, 2), masks=given) if t == 0 else None, geometry=geometry).logits
        for b in range(3):
            assert torch.allclose(model.data_preprocessor.restore(logits, geometry)[b], alone[b][t][0], atol=1e-9)


def by_formula(model, frames, mask):
    """Logits (H, W) of frame 1, written out from the published description; one object, no padding."""
    p = model.state_dict()

    def conv(name, x, activate=True, **options):
        x = F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **options)
        return x.relu() if activate else x

    def branch(name, x):
        x = conv(f"matching_head.{name}.proj", x, activate=False)
        return F.leaky_relu(conv(f"matching_head.{name}.conv", x, False, padding=2, groups=x.shape[1] // 4), 0.2)

    def up(name, x):
        return F.conv_transpose2d(x, p[f"decoder.{name}.weight"], p[f"decoder.{name}.bias"], stride=2, padding=1)

    def seen(pyramid):
        row, column = torch.meshgrid(torch.linspace(-1, 1, 6).double(), torch.linspace(-1, 1, 8).double(),
                                     indexing="ij")
        places = torch.stack([row, column, torch.hypot(row, column)])[None]
        return torch.cat([pyramid["c3"], places, last], dim=1)

    first, second = (model.backbone(frame[None]) for frame in frames)
    last = torch.cat([pooled(mask), torch.zeros(1, 4, 6, 8, dtype=torch.float64)], dim=1)
    keys, values = (branch(name, seen(first)).flatten(2) for name in ("make_value", "make_key"))
    template = (keys @ values.transpose(1, 2) / math.sqrt(48)).softmax(dim=2)
    query = branch("read_key", seen(second))
    found = torch.cat([branch("read_feature", seen(second)), (template @ query.flatten(2)).view_as(query)], dim=1)
    found = conv("matching_head.blend.0", found, False, padding=2, groups=found.shape[1] // 4)
    found = conv("matching_head.blend.1", found)
    short = conv("decoder.short_term", torch.cat([F.avg_pool2d(last, 3, 2, 1), first["c4"]], 1), padding=1)
    u16 = conv("decoder.blend16", torch.cat([second["c4"], short], 1), padding=1)
    u16_up = up("up16", u16)
    u8_up = up("up8", conv("decoder.blend8", torch.cat([conv("decoder.reduce8", found), u16_up], 1), padding=1))
    u4 = conv("decoder.blend4", torch.cat([conv("decoder.reduce4", second["c2"]), u8_up], 1), padding=1)
    logits = F.pixel_shuffle(up("up4", torch.cat([up("up16_twice", u16_up), u8_up, u4], 1)), 2)[0]
    return logits[1] - logits[0]


def test_a_frame_is_what_the_formulas_say():
    model, mask = ttvos(), boxes(1, SIZE).double()
    frames, geometry = model.data_preprocessor.frames(random_frames(2, SIZE))
    assert geometry.network == SIZE
    with torch.no_grad():
        expected = by_formula(model, frames, mask)
        logits = track(model, random_frames(2, SIZE), {0: ((1,), mask)})[1][0]
    p = expected.sigmoid()
    assert float(p.std()) > 0.01
    odds = torch.stack([(1 - p) / p, p / (1 - p)])  # background is what the object leaves
    assert torch.allclose(logits.softmax(dim=0), odds / odds.sum(dim=0), atol=1e-5)


@pytest.mark.parametrize("name, params, first, tracked", [("ttvos_r50", 14_802_086, 32.91, 55.75),
                                                          ("ttvos_r18", 12_446_630, 25.68, 29.79)])
def test_parameters_and_work_are_those_of_the_published_shapes(name, params, first, tracked):
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(name).model)
    result = measure_frames(model, (480, 854))
    assert result.params == params and result.settings["padded_shape"] == [480, 864]
    assert result.total("first") / 1e9 == pytest.approx(first, rel=0.005)
    assert result.total("query") / 1e9 == pytest.approx(tracked, rel=0.005)
    last = "backbone.layer4." if name == "ttvos_r18" else "backbone.layer3."
    learnt = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n in learnt if n.startswith("backbone.")} == {
        n for n, _ in model.named_parameters() if n.startswith(last)}


def test_dilated_convolutions_are_the_published_ones():
    with torch.device("meta"):
        large, small = (SEGMENTORS.build(load_config(name).model).backbone for name in ("ttvos_r50", "ttvos_r18"))
    dilated = {name for name, m in large.named_modules() if getattr(m, "dilation", (1, 1)) == (2, 2)}
    assert dilated == {"layer3.4.conv2", "layer3.5.conv2"} and not hasattr(large, "layer4")
    dilated = {name for name, m in small.named_modules() if getattr(m, "dilation", (1, 1)) == (2, 2)}
    assert dilated == {"layer4.1.conv2"} and small.layer4[0].conv1.stride == (1, 1)


def test_notes_of_training_and_none_elsewhere():
    model = ttvos().train()
    seen = []
    model.observers.append(seen.append)
    batch = training_batch(model)
    model.loss(batch["inputs"], batch["data_samples"])
    changes = [note for output in seen for note in output.noted(MaskTransition)]
    assert [len(note.rows) for note in changes] == [2, 3]  # the second clip's object, then the late one beside them
    assert all(note.change.shape[1:] == (2, 6, 6) and not note.before.requires_grad for note in changes)
    assert len([note for output in seen for note in output.noted(TemplateMask)]) == 2
    seen.clear()
    track(model.eval(), random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert all(output.notes == [] for output in seen)


@pytest.mark.parametrize("where", ["QD", "D"])
def test_it_becomes_sparse(where):
    sparse = dict(conv=dict(type="TripleSparseConv"), where=where, losses=[dict(type="SparsityLoss", target=0.1)])
    model = build_model(SEGMENTORS.example("TTVOS", sparse=sparse))
    outputs = track(model, random_frames(4, SIZE), {0: ((1, 2), boxes(2, SIZE))})
    assert all(torch.isfinite(x).all() for x in outputs)


@pytest.mark.parametrize("options, error, message", [
    (dict(history=0), ConfigError, "history must be at least 1"),
    ({"matching_head.channels": 6}, ConfigError, "must be multiples of 4"),
    ({"backbone.output_stride": 8}, ConfigError, "TTVOS needs a level of stride 16, but the backbone has c2 (4), c3"),
    ({"preprocessor.divisor": 8}, InputError, "multiples of 16, got 40x56: use a ReflectingPreprocessor")])
def test_bad_options(options, error, message):
    with pytest.raises(error) as caught:
        track(ttvos(**options), random_frames(2, (40, 56)), {0: ((1,), boxes(1, (40, 56)))})
    assert message in str(caught.value)
