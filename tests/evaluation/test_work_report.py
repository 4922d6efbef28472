"""Counting what sparse layers and reuse gates really do."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.contracts.helpers import CONFIGS, TINY_R50, boxes, build_model, build_tiny, random_frames, sparse, track
from vosplug.cli.model_stats import main
from vosplug.evaluation.complexity import measure_frames
from vosplug.evaluation.work_report import WorkReport, adjustable_parts, set_density
from vosplug.inference.baselines import Baseline
from vosplug.registry import SEGMENTORS
from vosplug.structures import Decision, Work
from vosplug.utils.configs import load_config
from vosplug.utils.errors import InputError

BASE = "_base_/stcn_r50_model.py"
OPTIONS = {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}
SIZE = (64, 64)


def work(layer="a.b", policy=((0, 1), (2, 2)), cost=10, gate=3):
    policy = None if policy is None else torch.tensor([policy], dtype=torch.uint8)
    return Work(layer, cost, gate, 4, policy)


def test_report_by_hand():
    report = WorkReport()
    report.add([work(policy=None), work("c.d", policy=None)])
    report.add([work(), work("c.d", ((2, 0), (0, 0)), cost=30)])
    result = report.as_json()
    assert result["frames"] == 2
    layer = result["layers"]["a.b"]
    assert (layer["sparse_frames"], layer["dense_frames"]) == (1, 1)
    assert (layer["skipped"], layer["reused"], layer["computed"]) == (0.25, 0.25, 0.5)
    assert layer["macs_g"] == (4 * 10 + 3 + 2 * 10 + 3) / 1e9 and layer["dense_macs_g"] == 80 / 1e9
    assert result["density"] == pytest.approx((2 * 10 + 1 * 30) / (40 + 120))
    assert result["modules"]["c"]["density"] == pytest.approx(0.25)


def test_reports_of_several_processes_add_up():
    parts = []
    for times in (1, 3):
        parts.append(WorkReport())
        for _ in range(times):
            parts[-1].add([work(), work("c.d", cost=30)])
    whole = WorkReport.merged(parts)
    assert whole.frames == 4 and whole.density() == pytest.approx(parts[0].density())
    assert whole.total().macs == 4 * parts[0].total().macs


def test_a_report_without_sparse_frames_has_no_shares():
    report = WorkReport()
    report.add([work(policy=None)])
    assert report.density() is None and report.as_json()["layers"]["a.b"]["computed"] is None


def test_watching_a_model_sees_every_frame_and_leaves_no_trace():
    model = build_tiny(BASE, OPTIONS)
    with WorkReport().watch(model) as report:
        track(model, random_frames(7, SIZE), {0: ((1,), boxes(1, SIZE))})
    track(model, random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert report.frames == 7 and not model.observers
    key = report.layers["key_encoder.backbone.layer1.0.conv1"]
    assert (key.sparse_frames, key.dense_frames) == (5, 2)  # frames 0 and 5 are memory frames
    assert report.numbers() == {"density": report.density()} and report.lines()[0].startswith("density 0.")


def test_a_model_without_such_parts_has_nothing_to_tell():
    for model in (build_tiny(BASE, TINY_R50), Baseline("copy")):
        with WorkReport().watch(model) as report:
            pass
        assert (report.numbers(), report.lines()) == ({}, [])
    with pytest.raises(InputError, match="m: it has no sparse convolution"):
        set_density(build_tiny(BASE, TINY_R50), 0.5, "m")


def test_reuse_gates_are_summed_like_layers():
    reports = []
    for video, frames in {"a": ([True, False], [True, True]), "b": ([False],)}.items():
        reports.append(WorkReport())
        reports[-1].video = video
        for reused in frames:
            forced = torch.zeros(len(reused), dtype=torch.bool)
            forced[-1] = not reused[-1]
            reports[-1].add([Decision(keys=tuple((0, i) for i in range(len(reused))), reused=torch.tensor(reused),
                                      forced=forced),
                             Work("decode_coarse", 10, 0, 2, torch.tensor([[[1, 2]]], dtype=torch.uint8))])
    whole = WorkReport.merged(reports)
    rate = (1 + 0.5 + 0) / 3  # the mean over three objects, not over five frames of objects
    assert whole.as_json()["reuse"] == {"frames": 5, "free": 3, "reused": 3, "rate": rate}
    assert whole.numbers() == {"density": 0.5, "reuse_rate": rate}
    assert whole.reuse.rate("a") == 0.75 and whole.reuse.rate("b") == 0 and whole.reuse.rate("c") is None
    assert whole.lines()[1].startswith("reuse rate 0.5000: share of the frames after its first")
    assert "reuse" not in WorkReport().as_json()


def test_work_is_counted_frame_by_frame_and_video_by_video():
    model = build_model(SEGMENTORS.example("ReuseGated", tau=0.0))
    report = WorkReport()
    frames, prompts = random_frames(4, SIZE), {0: ((1,), boxes(1, SIZE))}
    with report.watch(model, count=True):
        for report.video in ("a", "b"):
            track(model, frames, prompts)
    counted = [0.0, 0.0]
    for place, tau in enumerate((1.0, 0.0)):  # the same frames, each counted alone
        model.tau = tau
        with FlopCounterMode(display=False) as counter:
            track(model, frames, prompts)
        counted[place] = counter.get_total_flops() / 2 / 4 / 1e9
    assert report.macs_g() == report.macs_g("a") == pytest.approx(counted[1]) and counted[1] < counted[0]
    assert report.by_video() == {name: {"reuse_rate": 1.0, "macs_g": report.macs_g("a")} for name in ("a", "b")}
    assert report.numbers()["macs_g"] == report.macs_g() and report.video_lines()[1].startswith("b: reuse rate 1.0000")
    both = WorkReport.merged([report, report])
    assert both.videos["a"] == (8, 2 * report.videos["a"][1])


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_constructed_density_is_what_is_counted(density):
    model = build_tiny(BASE, OPTIONS)
    set_density(model, density, "m")
    report = measure_frames(model, size=SIZE).work["query"]
    assert report.density() == pytest.approx(density, abs=0.06)  # the smallest maps have 16 sites
    assert len(report.layers) == len(adjustable_parts(model))


def test_work_counted_by_torch_is_the_work_that_layers_report():
    """Two ways to count: FLOP formulas of the operators that ran, and the layers' own books."""
    dense = measure_frames(build_tiny(BASE, TINY_R50), size=SIZE).macs["query"]
    model = build_tiny(BASE, OPTIONS)
    set_density(model, 0.3, "m")
    result = measure_frames(model, size=SIZE)
    for name in ("key_encoder", "decoder"):
        counts = result.work["query"].total(f"{name}.")
        assert result.macs["query"][name] == dense[name] - counts.dense_macs + counts.macs
        assert result.work["query"].density(f"{name}.") == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("density", [-0.1, 1.5])
def test_densities_out_of_range_are_refused(density):
    with pytest.raises(InputError, match="0..1"):
        set_density(build_tiny(BASE, OPTIONS), density, "m")


def test_command_sets_and_prints_the_density(tmp_path, capsys):
    cfg = load_config(CONFIGS / BASE)
    cfg.merge_from_dict(OPTIONS)
    (tmp_path / "tiny.py").write_text(f"model = {cfg.model.to_dict()!r}\n")
    target = tmp_path / "stats.json"
    assert main([str(tmp_path / "tiny.py"), "--shape", "64", "64", "--density", "0.25", "--json", str(target)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "constructed policies" in text and "density 0.2" in text
    result = json.loads(target.read_text())["sparse"]
    assert set(result) == {"first", "query", "memory"}
    assert result["query"]["density"] == pytest.approx(0.25, abs=0.06)
    assert result["memory"]["density"] is None
