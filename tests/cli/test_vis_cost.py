"""Cost of clip-level methods: model_stats, benchmark, plot_memory."""

import json

import numpy as np
import pytest
import torch

from tests.cli.test_efficientvis_commands import MODEL
from tests.models.tracklets.helpers import tiny_model
from vosplug.cli import benchmark, model_stats, plot_memory
from vosplug.evaluation.complexity import measure_clip
from vosplug.inference import VISSession
from vosplug.inference.measuring import measure


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tiny.py").write_text(MODEL)
    return str(tmp_path / "tiny.py")


def test_work_of_a_clip_by_hand():
    model = tiny_model(frame_chunk=None)
    one, three = measure_clip(model, (64, 64), 1), measure_clip(model, (64, 64), 3)
    count, channels, hidden = 5, 16, 8
    # Still-image dynamic convolution with T = 1: the filters of each query, and two products over the 7 x 7 crop.
    filters, products = channels * 2 * channels * hidden, 2 * 49 * channels * hidden
    head = count * (filters + products + 49 * channels * channels  # dynamic convolution and what flattens its crop
                    + 2 * channels * 32 + 4 * channels * channels + channels * 3 + channels * 4)  # FFN, towers, outputs
    assert one.macs["clip"]["interactions.head"] == 2 * head
    # Two attentions: projections in and out, scores and sums over one frame or over the five tracklets.
    attention = count * 4 * channels * channels * 2 + 2 * count * channels + 2 * count * count * channels
    assert one.macs["clip"]["interactions.attention"] == 2 * attention
    for part in ("backbone", "neck"):
        assert three.macs["clip"][part] == 3 * one.macs["clip"][part] == 3 * three.macs["frame"][part]
    assert three.total("frame") == pytest.approx(three.total() / 3) and three.total() == three.total("clip")
    assert one.params == sum(p.numel() for p in model.parameters()) == sum(one.module_params.values())
    assert torch.backends.mha.get_fastpath_enabled()


def test_chunks_change_no_count():
    counts = [measure_clip(tiny_model(frame_chunk=chunk), (48, 64), 4).macs["clip"] for chunk in (None, 1, 3)]
    assert counts[0] == counts[1] == counts[2]


def test_stats_table_and_json(config, tmp_path, capsys):
    path = tmp_path / "stats.json"
    assert model_stats.main([config, "--frames", "2", "--json", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "48x64 (padded to 64x64), clip of 2 frame(s)" in said and "interactions.mask_head" in said
    result = json.loads(path.read_text())
    assert (result["frames"], result["shape"], result["padded_shape"]) == (2, [48, 64], [64, 64])
    assert result["macs_g"] == result["macs_g_clip"] == pytest.approx(2 * result["macs_g_frame"])
    assert set(result["modules"]) >= {"backbone", "neck", "queries", "interactions.head", "interactions.attention"}
    assert model_stats.main([config, "--shape", "32", "64", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["frames"] == 3  # clip_length of the model


def test_every_clip_is_timed_as_a_whole():
    model = tiny_model()
    frames = [np.zeros((48, 64, 3), np.uint8)] * 14
    session = VISSession(model, min_score=0.0)
    result = measure(lambda _, image: session.add(image), frames, length=3, untimed=1)
    assert (len(result.seconds), result.frames) == (3, 3)  # four whole clips of 3, and two frames that are left out
    numbers = result.numbers()
    assert numbers["fps"] == pytest.approx(9 / sum(result.seconds))
    assert numbers["latency_ms_p50"] == pytest.approx(1000 * np.median(result.seconds))


def test_benchmark(config, tmp_path, capsys):
    path = tmp_path / "b.json"
    command = [config, "--size", "48", "64", "--frames", "5", "--warm-up", "1", "--json", str(path), "--device", "cpu"]
    assert benchmark.main([*command, "--threads", "1"]) == 0
    result = json.loads(path.read_text())
    assert result["measured"]["clip_length"] == 3 and result["measured"]["frames"] == 6
    assert result["fps"] == pytest.approx(3000 / result["latency_ms_p50"], rel=0.9)
    assert "clips of 3 frames (latencies are those of a clip)" in " ".join(capsys.readouterr().out.split())
    other = tmp_path / "other.py"
    other.write_text("_base_ = ['tiny.py']\nmodel = dict(clip_length=2)\n")
    assert benchmark.main([*command, "--compare", str(other), "--rounds", "1"]) == 0
    assert json.loads(path.read_text())["speedup"] > 0
    assert benchmark.main([*command, "--clip-length", "4"]) == 0
    assert json.loads(path.read_text())["measured"]["clip_length"] == 4


def test_memory_of_a_long_video(config, tmp_path, capsys):
    out = tmp_path / "m.json"
    command = [config, "--frames", "20", "--size", "48", "64", "--out", str(out), "--device", "cpu"]
    assert plot_memory.main([*command, "--clip-length", "4"]) == 0
    assert json.loads(out.read_text())["frame"] == list(range(20))
    assert "MiB per 1,000 frames from frame 6 on" in capsys.readouterr().out
    assert plot_memory.main([*command, "--max-growth=-1e9"]) == 1
