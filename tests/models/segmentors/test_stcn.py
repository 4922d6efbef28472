"""How STCN puts its parts together. What every segmentor must do stands in tests/contracts."""

import pytest
import torch

from tests.contracts.helpers import CONFIGS, TINY_R50, advance, boxes, build_example, build_model, random_frames, track
from vosplug.models.matching_heads import MatchingHead
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError, InputError

SIZE = (40, 56)


@pytest.fixture(params=[0, 1], ids=["published", "small"])
def model(request):
    return build_example("STCN", request.param)


def test_keys_and_values_need_one_stride():
    cfg = load_config(CONFIGS / "_base_/stcn_r50_model.py")
    cfg.merge_from_dict({**TINY_R50, "model.value_encoder.fusion": dict(type="TopDownFusion", channels=8)})
    with pytest.raises(ConfigError, match="keys have stride 16 but values 8"):
        SEGMENTORS.build(cfg.model)


@pytest.mark.parametrize("objects", [1, 4])
def test_frame_wise_parts_run_once_per_frame(model, objects):
    calls = {"key_encoder": [], "value_encoder": [], "skip": []}
    model.key_encoder.backbone.register_forward_pre_hook(lambda _m, x: calls["key_encoder"].append(len(x[0])))
    model.value_encoder.backbone.register_forward_pre_hook(lambda _m, x: calls["value_encoder"].append(len(x[0])))
    for up in model.decoder.ups:
        up.skip_conv.register_forward_pre_hook(lambda _m, x: calls["skip"].append(len(x[0])))
    model.memory.every, model.memory.include_last = 3, False
    track(model, random_frames(5, SIZE), {0: (tuple(range(1, objects + 1)), boxes(objects, SIZE))})
    assert calls["key_encoder"] == [1] * 5
    assert calls["value_encoder"] == [objects] * 2  # frames 0 and 3
    assert calls["skip"] == [1] * 4 * len(model.decoder.ups)


def test_memory_holds_keys_and_values_of_the_aggregated_masks(model):
    model.memory.every = 1
    state = model.init_state()
    values = []
    model.value_encoder.register_forward_hook(lambda _m, inputs, out: values.append((inputs[2], out)))
    with torch.no_grad():
        for t, frame in enumerate(random_frames(2, SIZE)):
            advance(model, state, frame, ((3, 1), boxes(2, SIZE)) if t == 0 else None)
    entries = list(state.memory)
    assert [(e.frame, e.prompted) for e in entries] == [(0, True), (1, False)]
    assert torch.equal(entries[0]["value"][0], values[0][1].flatten(2))
    assert torch.equal(values[-1][0], state.masks)
    assert entries[0].grid == (entries[0].tokens // entries[0].grid[1], entries[0].grid[1])
    assert entries[0].grid == (48 // model.key_encoder.stride, 64 // model.key_encoder.stride)


class HalvingHead(MatchingHead):
    """Reads the first half of the channels of the newest values; publishes how many these are."""

    def __init__(self, value_channels: int, scale: float = 1.0):
        super().__init__()
        self.out_channels, self.scale = value_channels // 2, scale

    def forward(self, query, memory, pairs, frame, **beside):
        value = pairs.gather(memory.latest["value"])[:, : self.out_channels]
        return self.scale * value.unflatten(-1, query.shape[-2:])


@pytest.mark.parametrize("family", ["STCN", "XMem"])
def test_a_head_learns_the_channels_and_says_how_many_it_gives(family):
    model = build_model(SEGMENTORS.example(family, matching_head=dict(type=HalvingHead, scale=0.5),
                                           memory=dict(type="FrameBank", every=1)))
    outputs = track(model, random_frames(3, SIZE), {0: ((1, 2), boxes(2, SIZE))})
    assert model.matching_head.out_channels == model.value_encoder.out_channels // 2
    assert all(o.shape == (1, 3, *SIZE) for o in outputs)


def test_a_head_that_does_not_compare_and_long_term_memory_are_refused():
    model = build_model(SEGMENTORS.example("XMem", matching_head=dict(type=HalvingHead)))
    with pytest.raises(ConfigError, match="use a FrameBank"):
        model.init_state()


def test_frame_features_without_a_video(model):
    features = model(torch.zeros(2, 3, 32, 32))
    assert features.key.shape[0] == 2
    with pytest.raises(InputError, match="mode 'predict' is not known"):
        model(torch.zeros(1, 3, 32, 32), mode="predict")


def test_last_frame_is_not_memorised(model):
    state = model.init_state()
    x, geometry = model.data_preprocessor.frames(random_frames(1, SIZE))
    advance(model, state, random_frames(1, SIZE)[0], ((1,), boxes(1, SIZE)))
    before = state.memory.tokens
    state.frame_index = 5
    with torch.no_grad():
        model.step(state, x, last=True)
    assert state.memory.tokens == before and geometry.size == SIZE
