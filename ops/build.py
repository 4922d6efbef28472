"""Building of the compiled operators: what ``setup.py`` calls, and a command for development.

``python ops/build.py`` builds the extension in place (``ops/_C.abi3.so``). Two variants are for tests: ``--variant
asan`` has the address and undefined-behaviour sanitizers, ``--variant avx512`` runs the AVX-512 kernels on any x86-64
with AVX2. The extension uses torch's stable ABI and nothing of Python, so that one wheel serves every Python from 3.10
and every torch from 2.10. Kernels for several instruction sets are in the same file and one is chosen when
the program runs: nothing here depends on the machine that builds.

Where torch has CUDA and nvcc is found, the CUDA kernels and their binding are compiled in, for the GPUs of
``CUDA_ARCHITECTURES`` and as PTX for newer ones; ``VOSPLUG_NO_CUDA=1`` leaves them out.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "vosplug.ops._C"
SUFFIX = ".abi3.so"
CUDA_ARCHITECTURES = ("80", "86", "89", "90a")


def sources() -> list[str]:
    """C++ files of the extension for the CPU, relative to the root of the repository."""
    return sorted(str(p.relative_to(HERE.parent)) for p in HERE.glob("*/csrc/**/*.cpp") if p.parent.name != "cuda")


def cuda_sources() -> list[str]:
    """What a torch with CUDA adds: the kernels and their binding."""
    return sorted(str(p.relative_to(HERE.parent)) for p in HERE.glob("*/csrc/cuda/*") if p.suffix in (".cu", ".cpp"))


def why_no_cuda() -> str | None:
    """Return why the CUDA kernels cannot be built here, in one sentence, or None if they can (torch is there)."""
    if os.environ.get("VOSPLUG_NO_CUDA"):
        return "VOSPLUG_NO_CUDA is set."
    import torch

    if torch.version.cuda is None:
        return "This torch has no CUDA."
    from torch.utils.cpp_extension import CUDA_HOME

    if CUDA_HOME is None or not (Path(CUDA_HOME) / "bin" / "nvcc").is_file():
        return f"torch has CUDA {torch.version.cuda}, but nvcc was not found (set CUDA_HOME)."
    return None


def nvcc_args() -> list[str]:
    """Options of nvcc: every architecture, and PTX for later ones."""
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in CUDA_ARCHITECTURES]
    return ["-std=c++17", "-O3", *targets, "-gencode=arch=compute_90,code=compute_90"]


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")


def why_not() -> str | None:
    """Return why the extension cannot be built here, in one sentence for the user, or None if it can."""
    if os.environ.get("VOSPLUG_NO_EXTENSION"):
        return "VOSPLUG_NO_EXTENSION is set: vosplug installs without compiled operators and uses its PyTorch ones."
    if platform.system() == "Windows":
        return "The compiled operators need GCC or Clang: vosplug installs without them and uses its PyTorch ones."
    if _compiler() is None:
        return (
            "No C++ compiler was found: vosplug installs without compiled operators and uses its PyTorch ones. "
            "For the fast ones install g++ and reinstall with: pip install --no-build-isolation ."
        )
    try:
        import torch
    except ImportError:
        return (
            "torch cannot be imported while building: vosplug installs without compiled operators and uses its PyTorch "
            "ones. For the fast ones run: pip install --no-build-isolation ."
        )
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 10):
        return f"The compiled operators need torch 2.10 or newer, found {torch.__version__}: using the PyTorch ones."
    return None


# Builds for tests: what the compiler is told besides, and the linker.
VARIANTS = {
    "": ([], []),
    "asan": (
        ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
        ["-fsanitize=address,undefined"],
    ),
    "avx512": (["-DVOSPLUG_EMULATE_AVX512=1"], []),
}


def _compile_args(variant: str = "") -> list[str]:
    args = ["-std=c++17", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    args += ["-Wno-psabi", "-Wno-unknown-pragmas", "-Wno-ignored-attributes"]
    args += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-DTORCH_STABLE_ONLY"]
    return args + VARIANTS[variant][0]


def _include_dirs(cuda: bool) -> list[str]:
    from torch.utils.cpp_extension import include_paths

    own = {p.parent for p in HERE.glob("*/csrc/**/*") if p.suffix == ".h" or (cuda and p.suffix == ".cuh")}
    return sorted(map(str, own)) + include_paths("cuda" if cuda else "cpu")


def extensions() -> list:
    """Return the list for ``setup(ext_modules=...)``: one extension, or none where ``why_not()`` gives a reason."""
    if why_not():
        return []
    from setuptools import Extension
    from torch.utils.cpp_extension import library_paths

    cuda = why_no_cuda() is None
    arguments = {"cxx": _compile_args(), "nvcc": nvcc_args()} if cuda else _compile_args()
    return [
        Extension(
            NAME,
            sources=sources() + (cuda_sources() if cuda else []),
            include_dirs=_include_dirs(cuda),
            library_dirs=library_paths("cuda" if cuda else "cpu"),
            libraries=["torch", "torch_cpu", "c10", *(["cudart"] if cuda else [])],
            extra_compile_args=arguments,
            define_macros=[],
            py_limited_api=True,
            optional=True,
            language="c++",
        )
    ]


def build_command() -> type:
    """Return the ``build_ext`` class for ``setup(cmdclass=...)``; it compiles with ninja, several files at a time."""
    from torch.utils.cpp_extension import BuildExtension

    return BuildExtension.with_options(no_python_abi_suffix=False, use_ninja=shutil.which("ninja") is not None)


def build_in_place(variant: str = "", jobs: int = 1) -> Path:
    """Compile changed files and link ``ops/_C.abi3.so``; objects are kept in ``build/``. Returns the path."""
    reason = why_not()
    if reason:
        raise SystemExit(reason)
    from torch.utils.cpp_extension import CUDA_HOME, library_paths

    folder = HERE.parent / "build" / f"ops_{variant}".strip("_")
    folder.mkdir(parents=True, exist_ok=True)
    compiler, cuda = _compiler(), why_no_cuda() is None
    includes = [f"-I{path}" for path in _include_dirs(cuda)]
    headers = max(p.stat().st_mtime for p in HERE.glob("*/csrc/**/*") if p.suffix in (".h", ".inl", ".cuh"))
    objects, running = [], []
    for source in sources() + (cuda_sources() if cuda else []):
        target = folder / (source.replace("/", "_") + ".o")
        objects.append(str(target))
        newest = max(headers, (HERE.parent / source).stat().st_mtime, Path(__file__).stat().st_mtime)
        if target.exists() and target.stat().st_mtime > newest:
            continue
        command = [compiler, *_compile_args(variant), "-fPIC"]
        if source.endswith(".cu"):
            command = [str(Path(CUDA_HOME) / "bin" / "nvcc"), *nvcc_args(), "-Xcompiler", "-fPIC"]
        running.append((source, subprocess.Popen([*command, *includes, "-c", source, "-o", target], cwd=HERE.parent)))
        if len(running) >= jobs:
            _finish(running)
    _finish(running)
    output = HERE / f"_C{SUFFIX}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        fresh = Path(scratch) / output.name
        libraries = [f"-L{path}" for path in library_paths("cuda" if cuda else "cpu")]
        libraries += ["-ltorch", "-ltorch_cpu", "-lc10", *(["-lcudart"] if cuda else [])]
        subprocess.run([compiler, "-shared", *VARIANTS[variant][1], *objects, *libraries, "-o", str(fresh)], check=True)
        os.replace(fresh, output)
    return output


def _finish(running: list) -> None:
    failed = [source for source, process in running if process.wait() != 0]
    running.clear()
    if failed:
        raise SystemExit(f"error: cannot compile {', '.join(failed)}; see the compiler's messages above")


def main(argv: list[str] | None = None) -> int:
    """Build in place."""
    parser = argparse.ArgumentParser(description="Build the compiled operators in place (ops/_C.abi3.so).")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="",
                        help="a build for tests: with address and undefined-behaviour sanitizers, or AVX-512 emulated")
    parser.add_argument("--jobs", type=int, default=1, help="compilers at a time (default: 1)")
    options = parser.parse_args(argv)
    print(f"built {build_in_place(options.variant, options.jobs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
