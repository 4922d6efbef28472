"""Measuring speed and memory."""

import json

import numpy as np
import pytest
import torch

from tests.inference.colour_segmentor import moving_squares
from vosplug.cli import benchmark, plot_memory
from vosplug.cli.benchmark import main
from vosplug.inference import measuring
from vosplug.models.frame_run import FrameRun
from vosplug.models.gates import ReuseGate
from vosplug.registry import SEGMENTORS
from vosplug.structures import Decision
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

KEYS = {"fps", "latency_ms_p50", "latency_ms_p95", "first_frame_ms", "peak_mem_mib"}


@pytest.fixture
def config(root):
    return str(root / "configs" / "_base_" / "stcn_small_model.py")


def test_numbers_and_what_was_measured(config, tmp_path, capsys):
    path = tmp_path / "b.json"
    assert main([config, "--size", "48", "64", "--objects", "3", "--frames", "5", "--warm-up", "1", "--threads", "1",
                 "--device", "cpu", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert set(result) >= KEYS and "speedup" not in result
    assert 0 < result["latency_ms_p50"] <= result["latency_ms_p95"]
    assert result["peak_mem_mib"] > 1
    measured = result["measured"]
    assert (measured["size"], measured["objects"], measured["frames"], measured["threads"]) == ([48, 64], 3, 5, 1)
    assert measured["weights"] == "random"
    assert "random" in capsys.readouterr().out


def test_time_of_the_processor(config, tmp_path):
    path = tmp_path / "b.json"
    assert main([config, "--size", "48", "64", "--frames", "2", "--warm-up", "0", "--threads", "1", "--device", "cpu",
                 "--cpu-time", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert result["measured"]["clock"] == "cpu" and result["fps"] > 0


def test_two_models_are_measured_in_turn(config, tmp_path):
    path = tmp_path / "b.json"
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = [{config!r}]\ntest_session = dict(flip=True)\n")
    assert main([config, "--compare", str(other), "--size", "48", "64", "--frames", "2", "--warm-up", "0", "--json",
                 str(path), "--device", "cpu"]) == 0
    result = json.loads(path.read_text())
    assert set(result["compare"]) == KEYS | {"config"}
    assert result["compare"]["config"] == str(other)
    assert result["measured"]["rounds"] == 3
    assert result["speedup"] > 0


def test_the_speedup_is_the_ratio_of_medians_round_by_round(monkeypatch):
    times = iter([[0.4, 0.4, 9.0], [0.1, 0.1, 0.1], [0.6, 0.6, 0.6], [0.2, 0.2, 0.2]])
    order = []

    class Family:
        def session(self, model, **options):
            order.append(model)

        def untimed(self, warm_up, length):
            return warm_up

    def measure(feed, frames, *, length, untimed, result, clock):
        assert clock is benchmark.time.perf_counter
        result.seconds += next(times)

    monkeypatch.setattr(measuring, "measure", measure)
    candidates = [benchmark.Candidate(name, name, Family(), {}, measuring.Measurement()) for name in ("a", "b")]
    ratios = benchmark.run(candidates, [], None, rounds=2, warm_up=0, device=torch.device("cpu"))
    assert order == ["a", "b", "a", "b"]
    assert ratios == pytest.approx([4.0, 3.0])
    assert candidates[0].measurement.numbers()["latency_ms_p50"] == pytest.approx(600)
    assert candidates[1].measurement.numbers()["fps"] == pytest.approx(6 / 0.9)


def test_a_sparse_model_against_its_twin(config, tmp_path, monkeypatch):
    from vosplug.evaluation.work_report import adjustable_parts

    seen = {}

    def run(candidates, *args, **options):
        seen["models"] = [candidate.model for candidate in candidates]
        for candidate in candidates:
            candidate.measurement.seconds.append(1.0)
        return [1.0]

    monkeypatch.setattr(benchmark, "run", run)
    sparse = tmp_path / "sparse.py"
    sparse.write_text(f"_base_ = [{config!r}]\n"
                      "model = dict(sparse=dict(conv=dict(type='TripleSparseConv'), policy=dict(type='Mixed')))\n")
    assert main([config, "--compare", str(sparse), "--same-weights", "--density", "0.3", "--size", "32", "32",
                 "--frames", "1", "--device", "cpu", "--cfg-options2", "model.sparse.policy.type=Fully"]) == 0
    dense, model = seen["models"]
    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in dense.state_dict().items())
    assert {layer.forced.compute for layer in adjustable_parts(model)} == {0.3}
    assert [type(policy).__name__ for policy in model.frame_policies] == ["Fully"]
    assert main([str(sparse), "--compare", str(sparse), "--same-weights", "--device", "cpu"]) == 2


def test_a_video_with_its_mask(config, tmp_path):
    for t, (image, labels) in enumerate(moving_squares(frames=5)):
        write_image(tmp_path / "v" / f"{t}.png", image)
        write_mask(tmp_path / "m.png", labels)
    command = [config, "--video", str(tmp_path / "v"), "--json", str(tmp_path / "b.json")]
    assert main([*command, "--mask", str(tmp_path / "m.png"), "--frames", "2", "--warm-up", "2"]) == 0
    assert json.loads((tmp_path / "b.json").read_text())["measured"]["objects"] == 2
    assert main([*command, "--size", "32", "48", "--frames", "2", "--warm-up", "2"]) == 0
    assert json.loads((tmp_path / "b.json").read_text())["measured"]["size"] == [32, 48]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--checkpoint2", "x"], "--checkpoint2 needs --compare"),
    (["--cfg-options2", "model.memory.every=2"], "--cfg-options2 needs --compare"),
    (["--mask", "x"], "--mask needs --video"),
    (["--warm-up", "-1"], "at least 0"),
    (["--video", "none"], "input not found"),
    (["none.pth"], "checkpoint not found"),
    (["--device", "tpu"], "tpu"),
    (["--cpu-time", "--threads", "2"], "--threads 1"),
    (["--same-weights"], "--compare"),
    (["--density", "0.1"], "there is none"),
    (["--compare", "stcn_small", "--cfg-options2", "model.memry.every=2"], "--compare stcn_small: "),
])
def test_bad_input_is_one_line(config, capsys, arguments, message):
    assert main([config, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_memory_over_a_long_video(config, tmp_path, capsys):
    out = tmp_path / "m.json"
    command = [config, "--frames", "12", "--size", "32", "48", "--out", str(out), "--device", "cpu"]
    assert plot_memory.main(command) == 0
    curve = json.loads(out.read_text())
    assert curve["frame"] == list(range(12)) and np.all(np.array(curve["resident_mib"]) > 10)
    assert "MiB per 1,000 frames from frame 4 on" in capsys.readouterr().out
    assert plot_memory.main([*command, "--max-growth=-1e9"]) == 1
    assert plot_memory.main([*command, "--settled", "11"]) == 2
    assert plot_memory.main([*command, "--max-slowdown", "1e3"]) == 0
    assert "times as long as one of the second (medians)" in capsys.readouterr().out
    assert plot_memory.main([*command, "--max-slowdown", "0"]) == 1
    assert plot_memory.main([*command, "--max-slowdown", "2", "--frames", "7"]) == 2


def test_memory_while_objects_come_and_go(config, tmp_path, capsys, monkeypatch):
    from vosplug.inference.session import VOSSession

    tracked, step = [], VOSSession.step
    monkeypatch.setattr(VOSSession, "step", lambda self, *a: (step(self, *a), tracked.append(self.ids))[0])
    command = [config, "--frames", "6", "--size", "32", "48", "--out", str(tmp_path / "m.csv"), "--device", "cpu",
               "--add-at", "2"]
    assert plot_memory.main([*command, "--remove-at", "4"]) == 0
    assert tracked == [(1, 2), (1, 2), (1, 2, 3), (1, 2, 3), (2, 3), (2, 3)]
    assert "2 objects, one more at frame 2, one removed at frame 4" in capsys.readouterr().out
    assert plot_memory.main([*command, "--remove-at", "6"]) == 2
    assert "--remove-at 6" in capsys.readouterr().err


def test_a_rate_of_reuse_is_forced(tmp_path, capsys, monkeypatch):
    config, plain = tmp_path / "gated.py", tmp_path / "plain.py"
    config.write_text(f"model = {SEGMENTORS.example('ReuseGated', tau=0.7)!r}\n")
    plain.write_text(f"model = {SEGMENTORS.example('FRTM')!r}\n")
    decided, asked = [], []
    note, gate = FrameRun.note, ReuseGate.forward
    monkeypatch.setattr(FrameRun, "note", lambda run, x: (decided.append(x) if isinstance(x, Decision) else None,
                                                          note(run, x)))
    monkeypatch.setattr(ReuseGate, "forward", lambda self, inputs: (asked.append(1), gate(self, inputs))[1])
    command = ["--size", "48", "64", "--frames", "7", "--warm-up", "1", "--device", "cpu", "--json",
               str(tmp_path / "b.json"), "--reuse-rate"]
    assert main([str(config), *command, "0.5"]) == 0
    assert [bool(d.reused) for d in decided] == [False, True] * 4 and len(asked) == 8  # the gate runs all the same
    assert json.loads((tmp_path / "b.json").read_text())["measured"]["reuse_rate"] == 0.5
    for model, rate, message in ((plain, "0.5", "it has no reuse gate"), (config, "1.5", "must lie in 0..1")):
        assert main([str(model), *command, rate]) == 2
        assert message in capsys.readouterr().err


def test_times_of_stages_add_up_to_a_frame(tmp_path, capsys):
    config = tmp_path / "gated.py"
    config.write_text(f"model = {SEGMENTORS.example('ReuseGated', tau=0.7)!r}\n")
    command = [str(config), "--size", "48", "64", "--frames", "8", "--warm-up", "1", "--device", "cpu", "--stages",
               "--json", str(tmp_path / "b.json"), "--reuse-rate"]
    for rate in (0.0, 1.0):
        assert main([*command, str(rate)]) == 0
        found = json.loads((tmp_path / "b.json").read_text())
        stages = found["stages_ms"]
        assert min(stages.values()) > 0 and sum(stages.values()) == pytest.approx(1000 / found["fps"])
        common = {"early", "gate", "finish", "compose", "rest"}
        assert set(stages) == common | ({"translator"} if rate else {"late", "coarse", "update"})
        assert "ms of a mean frame: early " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("method", ["CFBI", "SST"])
def test_matching_of_slots_is_a_stage(tmp_path, method):
    config = tmp_path / "slots.py"
    config.write_text(f"model = {SEGMENTORS.example(method)!r}\n")
    assert main([str(config), "--size", "48", "64", "--frames", "2", "--warm-up", "1", "--device", "cpu", "--stages",
                 "--json", str(tmp_path / "b.json")]) == 0
    stages = json.loads((tmp_path / "b.json").read_text())["stages_ms"]
    assert set(stages) == {"early", "late", "matching", "coarse", "finish", "compose", "update", "rest"}
    assert min(stages.values()) > 0
