"""The benchmark command: rows under stable keys, errors in one line."""

import datetime
import json

import pytest
import torch
from vosplug.ops import benchmark, isa

from vosplug.cli import benchmark_ops, rivals

KEYS = {"op", "shape", "dtype", "density", "threads", "rival", "ours_ms", "rival_ms", "speedup", "note"}
KEYS |= {"ours_mib", "rival_mib"}


def small_cases(options):
    x = torch.ones(64)
    yield benchmark.Case(options.op[0], "(64,)", "float32", 0.5, "addition", lambda: x * 2, lambda: x + x)


def test_rows_have_stable_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_ops, "cases", small_cases)
    path = tmp_path / "rows.json"
    arguments = ["--op", "sparse_conv2d", "--seconds", "0.01", "--json", str(path)]
    assert benchmark_ops.main(arguments) == 0
    record = json.loads(path.read_text())
    assert record["command"] == f"python tools/benchmark_ops.py {' '.join(arguments)}"
    assert record["isa"] == isa() and record["torch"] == torch.__version__
    assert datetime.date.fromisoformat(record["date"])
    (row,) = record["rows"]
    assert set(row) == KEYS
    assert row["speedup"] == pytest.approx(row["rival_ms"] / row["ours_ms"], rel=0.05, abs=0.05)


def test_scaling_sets_both_sides_against_one_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_ops, "cases", small_cases)
    path, before = tmp_path / "rows.json", torch.get_num_threads()
    arguments = ["--op", "sparse_conv2d", "--seconds", "0.01", "--threads", "2", "--scaling", "--json", str(path)]
    try:
        assert benchmark_ops.main(arguments) == 0
    finally:
        torch.set_num_threads(before)
    rows = json.loads(path.read_text())["rows"]
    assert [row["rival"] for row in rows] == ["ours, on one thread", "addition, on one thread"]
    assert all(set(row) == KEYS and row["threads"] == 2 for row in rows)


def test_of_several_rounds_the_median_is_kept(tmp_path, monkeypatch):
    speeds = iter([4.0, 1.0, 2.0])

    def measured(case, device, threads, budget):
        return benchmark.Row(case.op, case.shape, case.dtype, 0.1, threads, case.rival, 1.0, 1.0, next(speeds))

    monkeypatch.setattr(benchmark_ops, "cases", small_cases)
    monkeypatch.setattr(benchmark, "measure", measured)
    path = tmp_path / "rows.json"
    assert benchmark_ops.main(["--rounds", "3", "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert row["speedup"] == 2.0


def test_scaling_needs_threads(capsys):
    assert benchmark_ops.main(["--scaling"]) == 2
    assert capsys.readouterr().err.startswith("error: --scaling: compares CPU threads with one")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu_is_one_line(capsys):
    assert benchmark_ops.main(["--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith("error: --device cuda")


def test_an_installed_copy_says_that_it_needs_a_clone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "FOLDER", tmp_path)
    rivals.load_rival.cache_clear()
    assert benchmark_ops.main(["--quick"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: what vosplug is compared with is not installed") and "\n" not in error


def test_processors_are_named_with_family_and_model(tmp_path):
    (tmp_path / "cpuinfo").write_text("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: EPYC\n\ncpu family\t: 1\n")
    assert benchmark_ops.processor(tmp_path / "cpuinfo") == "EPYC, family 25, model 17"
    assert benchmark_ops.processor(tmp_path / "none") == "unknown"


@pytest.mark.parametrize("op", benchmark_ops.OPERATORS)
def test_every_case_computes_the_same_as_its_rival(op):
    case = next(benchmark_ops.cases(benchmark_ops.build_parser().parse_args(["--op", op, "--quick"])))
    assert case.op == op
    with torch.no_grad():
        ours, rival = case.ours_call(), case.rival_call()
    if op == "sparse_conv2d":
        policy = benchmark.blob_policy(*ours.shape[2:], case.density)
        ours, rival = ours * (policy == 2), rival * (policy == 2)
    torch.testing.assert_close(ours, rival, rtol=0, atol=2e-4)


@pytest.mark.parametrize("make", [benchmark.blob_policy, benchmark.random_policy])
def test_policies_have_their_density(make):
    policy = make(60, 107, 0.1)
    assert policy.shape == (1, 60, 107)
    assert float((policy == 2).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert float((policy == 1).float().mean()) == pytest.approx(0.45, abs=0.02)
