"""Parameters and multiply-accumulates against sums made by hand."""

import pytest
import torch
from torch import nn

from tests.contracts.helpers import build_example
from vosplug.evaluation.complexity import measure_frames, state_mib, striped_masks
from vosplug.evaluation.stage_counter import StageCounter
from vosplug.models.memories import FrameBank
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config
from vosplug.utils.errors import InputError


class Tiny(nn.Module):
    """Two children, one of which runs twice, and a product of the model's own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, stride=2)
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.BatchNorm2d(4))

    def forward(self, x):
        x = self.conv(x)
        x = self.head(self.head(x))
        return x.flatten(2) @ x.flatten(2).transpose(1, 2)


def test_macs_by_hand():
    model = Tiny().eval()
    counter = StageCounter(model)
    with torch.no_grad(), counter.count():
        model(torch.zeros(2, 3, 8, 6))
    places = 2 * 4 * 3  # pictures times positions after the stride
    assert dict(counter.counts) == {"conv": places * 4 * 3 * 9, "head": 2 * places * 4 * 2, "other": places * 4 * 4}


def test_counts_add_up_over_calls_and_hooks_are_removed():
    model = Tiny().eval()
    counter = StageCounter(model)
    for _ in range(2):
        with torch.no_grad(), counter.count():
            model(torch.zeros(1, 3, 8, 6))
    assert counter.counts["conv"] == 2 * 12 * 4 * 27 and counter.counts["other"] == 2 * 12 * 16
    assert not model.conv._forward_hooks and not model.conv._forward_pre_hooks


def test_work_is_that_of_the_part_that_is_called():
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.matching = nn.Linear(4, 2), nn.Linear(3, 4)
            self.gate.register_forward_pre_hook(lambda _m, x: self.matching(x[0]))

    model = Asking()
    counter = StageCounter(model)
    with torch.no_grad(), counter.count():
        model.gate(torch.zeros(5, 3))
    assert dict(counter.counts) == {"gate": 5 * 4 * 2, "matching": 5 * 3 * 4, "other": 0}


def test_a_sum_of_rows_is_an_addition_for_each_row_and_channel():
    model = nn.Sequential(nn.EmbeddingBag(9, 4, mode="sum"))
    counter = StageCounter(model)
    with torch.no_grad(), counter.count():
        model(torch.zeros(5, 7, dtype=torch.long))
    assert dict(counter.counts) == {"0": 5 * 7 * 4 // 2, "other": 0}


def test_size_of_a_state_dict():
    parameters = 4 * 27 + 4 + 4 * 2 + 4 + 4 + 4
    assert state_mib(Tiny()) == ((parameters + 8) * 4 + 8) / 2**20  # statistics, and a counter of 8 bytes


def test_stripes_cover_the_frame_once():
    masks = striped_masks(3, (4, 10))
    assert masks.shape == (1, 3, 4, 10) and torch.equal(masks.sum(dim=1), torch.ones(1, 4, 10))
    assert (masks.sum(dim=(2, 3)) > 0).all()


class TestTinySTCN:
    """Work of the parts of a narrow STCN for one frame of 64x64."""

    @pytest.fixture(scope="class")
    def results(self):
        def of(**options):
            return measure_frames(build_example("STCN"), size=(64, 64), **options)

        return {(1, 1): of(), (2, 1): of(objects=2), (3, 1): of(objects=3), (1, 3): of(memory_frames=3)}

    def test_kinds_of_frames(self, results):
        first, query, memory = (results[1, 1].macs[kind] for kind in ("first", "query", "memory"))
        assert set(first) == {"key_encoder", "value_encoder"}
        assert set(query) == {"key_encoder", "matching_head", "decoder"}
        assert set(memory) == {*first, *query}
        assert all(memory[name] == value for name, value in first.items())
        assert results[1, 1].total() == sum(query.values())

    def test_decoder_is_a_shared_part_and_a_part_per_object(self, results):
        decoder = [results[n, 1].macs["query"]["decoder"] for n in (1, 2, 3)]
        model = build_example("STCN")
        shared = sum(up.skip_conv.weight.numel() * (64 // s) ** 2
                     for up, s in zip(model.decoder.ups, (8, 4), strict=True))
        own = sum(m.weight.numel() * (64 // stride) ** 2 for stride, part in
                  ((16, model.decoder.compress), (8, model.decoder.ups[0].out_conv), (4, model.decoder.ups[1].out_conv),
                   (4, model.decoder.pred)) for m in part.modules() if isinstance(m, nn.Conv2d))
        assert decoder == [shared + n * own for n in (1, 2, 3)]

    def test_encoders_and_matching(self, results):
        one, three, long = (results[key].macs["memory"] for key in ((1, 1), (3, 1), (1, 3)))
        assert three["key_encoder"] == one["key_encoder"] and three["value_encoder"] == 3 * one["value_encoder"]
        tokens, keys, values = 4 * 4, 8, 16
        similarity, readout = tokens * tokens * keys, tokens * tokens * values
        query = [results[key].macs["query"]["matching_head"] for key in ((1, 1), (3, 1), (1, 3))]
        top_k = build_example("STCN").matching_head.top_k
        assert tokens <= top_k < 3 * tokens  # one frame is read whole, of three only the best tokens
        best = tokens * top_k * values
        assert query == [similarity + readout, similarity + 3 * readout, 3 * similarity + best]
        assert one["matching_head"] == query[0] and long["matching_head"] == query[2]

    def test_report(self, results):
        result = results[2, 1].as_json()
        assert result["shape"] == result["padded_shape"] == [64, 64] and result["objects"] == 2
        assert result["macs_g"] == result["macs_g_query"] == results[2, 1].total("query") / 1e9
        assert result["params"] == sum(part["params"] for part in result["modules"].values())
        assert result["state_mib"] == pytest.approx(sum(part["state_mib"] for part in result["modules"].values()))
        assert result["modules"]["decoder"]["macs_g"] == results[2, 1].macs["query"]["decoder"] / 1e9


class TestMemories:
    """Kinds of frames under memories that keep all frames, none, or few."""

    def measured(self, memory, **options):
        model = build_example("STCN")
        model.memory = memory
        seen = []
        model.observers.append(seen.append)
        return measure_frames(model, size=(32, 32), **options), [output.kind for output in seen]

    def test_a_video_ends_when_all_kinds_were_seen(self):
        _, kinds = self.measured(FrameBank(every=3))
        assert kinds == ["first", "query", "query", "memory"]
        _, kinds = self.measured(FrameBank(every=3), memory_frames=2)
        assert kinds == ["first", *2 * ["query", "query", "memory"]]

    def test_every_frame_is_kept_but_the_last_one(self):
        usual, _ = self.measured(FrameBank(every=5), memory_frames=2)
        result, kinds = self.measured(FrameBank(every=1), memory_frames=2)
        assert kinds == ["first", "memory", "memory", "first", "memory", "query"]
        assert result.macs == usual.macs

    def test_the_first_query_reads_the_kept_frames_alone(self):
        usual, _ = self.measured(FrameBank(every=5))
        result, kinds = self.measured(FrameBank(every=5, include_last=True))
        assert kinds == ["first", *4 * ["query"], "memory"]
        heads = [(found.macs["query"]["matching_head"], found.macs["memory"]["matching_head"])
                 for found in (usual, result)]
        assert heads[0][0] == heads[1][0] and heads[0][1] < heads[1][1]  # from then on that of the last frame, too

    def test_only_what_starts_objects_is_kept(self):
        usual, _ = self.measured(FrameBank(every=5))
        result, kinds = self.measured(FrameBank(every=9999))
        assert kinds == ["first", "query"] and set(result.macs) == {"first", "query"}
        assert result.macs["query"] == usual.macs["query"]
        with pytest.raises(InputError, match="keeps 1 frames, not 2"):
            self.measured(FrameBank(every=9999), memory_frames=2)


class TestFullSize:
    """The numbers of SpVOS's table, for what does not need a large frame."""

    def test_size_and_work_of_stcn(self):
        model = SEGMENTORS.build(load_config("stcn_r50.py").model)
        assert round(state_mib(model), 2) == 207.78
        small = measure_frames(model, size=(64, 64))
        # Convolutions do as much per position at any size: the numbers are those of 480x864.
        scale = (480 * 864) / (64 * 64) / 1e9
        assert small.macs["query"]["key_encoder"] * scale == pytest.approx(35.69, abs=0.01)
        assert small.macs["query"]["decoder"] * scale == pytest.approx(99.43, abs=0.01)
        assert small.macs["first"]["value_encoder"] * scale == pytest.approx(42.82, abs=0.1)
