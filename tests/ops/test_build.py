"""Building: reasons are given, CUDA sources compile, and the package works without the extension."""

import os
import shutil
import subprocess
import sys

import pytest


def test_reasons_not_to_build_are_sentences(root):
    code = "import runpy; b = runpy.run_path('ops/build.py'); print(b['why_not']()); print(len(b['extensions']()))"
    cases = ({"VOSPLUG_NO_EXTENSION": "1"}, {"PATH": "/nonexistent", "CXX": "no-such-compiler"})
    for change in cases:
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={**os.environ, **change}, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        message, count = run.stdout.strip().splitlines()
        assert "PyTorch ones" in message
        assert count == "0"


def test_all_sources_are_listed_and_exist(root):
    from vosplug.ops.build import sources

    assert {"ops/sparse_conv/csrc/cpu/sparse_conv.cpp", "ops/common/csrc/scratch.cpp"} <= set(sources())
    assert all((root / source).is_file() for source in sources())


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc (the CUDA compiler; no GPU)")
@pytest.mark.parametrize("targets", ["newest", pytest.param("all", marks=pytest.mark.slow)])
def test_cuda_sources_compile(root, tmp_path, targets):
    from vosplug.ops.build import cuda_sources, nvcc_args

    arguments = nvcc_args()
    if targets == "newest":
        arguments = [a for a in arguments if not a.startswith("-gencode") or a.endswith("sm_90a")]
    includes = [f"-I{folder}" for folder in sorted(root.glob("ops/*/csrc/cuda"))]
    running = []
    for source in (name for name in cuda_sources() if name.endswith(".cu")):
        command = ["nvcc", *arguments, *includes, "-c", source, "-o", str(tmp_path / f"{len(running)}.o")]
        running.append(subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True))
    assert len(running) == 3
    for process in running:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors


def test_cuda_binding_compiles_without_cuda(root):
    from torch.utils.cpp_extension import include_paths
    from vosplug.ops.build import _compile_args, _compiler

    if _compiler() is None:
        pytest.skip("needs a C++ compiler")
    includes = [f"-I{folder}" for folder in [*sorted(root.glob("ops/*/csrc/cuda")), *include_paths()]]
    command = [_compiler(), *_compile_args(), *includes, "-fsyntax-only", "ops/common/csrc/cuda/bindings.cpp"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_why_no_cuda_is_a_sentence(monkeypatch):
    from vosplug.ops.build import why_no_cuda

    reason = why_no_cuda()
    assert reason is None or reason.endswith(".")
    monkeypatch.setenv("VOSPLUG_NO_CUDA", "1")
    assert why_no_cuda() == "VOSPLUG_NO_CUDA is set."


def test_dense_models_do_not_import_the_operators(root):
    code = "import sys, vosplug.models; assert 'vosplug.ops' not in sys.modules, 'imported'"
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "PyTorch code" not in run.stderr


def test_one_log_line_without_the_extension(root, tmp_path):
    shutil.copytree(root / "ops", tmp_path / "ops", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(root / "vosplug", tmp_path / "vosplug", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import torch, vosplug.ops as o\n"
        "assert not o.has_extension() and o.isa() is None\n"
        "x = torch.randn(1, 4, 5, 5); w = torch.randn(3, 4, 3, 3)\n"
        "p = torch.randint(0, 3, (1, 5, 5), dtype=torch.uint8); prev = torch.randn(1, 3, 5, 5)\n"
        "a = o.triple_sparse_conv2d(x, w, None, p, prev, 1, 1)\n"
        "b = o.sparse_conv2d_reference(x, w, None, p, prev, 1, 1)\n"
        "torch.testing.assert_close(a, b)\n"
        "q = torch.randn(1, 4, 2, 3, 3); o.grid_attention(q, q, q); o.local_attention(q, q, q, 1)\n"
        "o.PreparedConv2d(w, None, padding=1)(x, o.Sites.from_policy(p), prev)\n"
        "torch.testing.assert_close(prev, b)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("the operators run as PyTorch code") == 1, run.stderr


def test_building_does_not_load_the_operators(root):
    code = (
        "import runpy, sys; build = runpy.run_path('ops/build.py'); assert build['sources']()\n"
        "assert not {'torch', 'vosplug'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
