"""Building of the compiled operators: what ``setup.py`` calls, and a command for development.

``python ops/build.py`` builds the extension in place (``ops/_C.abi3.so``); ``--asan`` adds the address and
undefined-behaviour sanitizers. The extension uses only torch's stable ABI and Python's limited API, so that one wheel
serves every Python from 3.10 and every torch from 2.10. Kernels for several instruction sets are in the same file and
one is chosen when the program runs: nothing here depends on the machine that builds.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "vosplug.ops._C"
SUFFIX = ".abi3.so"


def sources() -> list[str]:
    """C++ files of the extension, relative to the root of the repository."""
    return sorted(str(p.relative_to(HERE.parent)) for p in HERE.glob("*/csrc/**/*.cpp"))


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


def _compile_args(sanitize: bool) -> list[str]:
    args = ["-std=c++17", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    args += ["-Wno-psabi", "-Wno-unknown-pragmas", "-Wno-ignored-attributes", "-DPy_LIMITED_API=0x030a0000"]
    args += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-DTORCH_STABLE_ONLY"]
    if sanitize:
        args += ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        args += ["-fno-omit-frame-pointer"]
    return args


def _include_dirs() -> list[str]:
    from torch.utils.cpp_extension import include_paths

    own = sorted({str(p.parent) for p in HERE.glob("*/csrc/**/*.h")} | {str(HERE / "common" / "csrc")})
    return own + include_paths()


def extensions(sanitize: bool = False) -> list:
    """Return the list for ``setup(ext_modules=...)``: one extension, or none where ``why_not()`` gives a reason."""
    if why_not():
        return []
    from setuptools import Extension
    from torch.utils.cpp_extension import library_paths

    link = ["-fsanitize=address,undefined"] if sanitize else []
    return [
        Extension(
            NAME,
            sources=sources(),
            include_dirs=_include_dirs(),
            library_dirs=library_paths(),
            libraries=["torch", "torch_cpu", "c10"],
            extra_compile_args=_compile_args(sanitize),
            extra_link_args=link,
            define_macros=[],
            py_limited_api=True,
            optional=not sanitize,
            language="c++",
        )
    ]


def build_command() -> type:
    """Return the ``build_ext`` class for ``setup(cmdclass=...)``; it compiles with ninja, several files at a time."""
    from torch.utils.cpp_extension import BuildExtension

    return BuildExtension.with_options(no_python_abi_suffix=False, use_ninja=shutil.which("ninja") is not None)


def build_in_place(sanitize: bool = False, jobs: int = 1) -> Path:
    """Compile changed files and link ``ops/_C.abi3.so``; objects are kept in ``build/``. Returns the path."""
    reason = why_not()
    if reason:
        raise SystemExit(reason)
    from torch.utils.cpp_extension import library_paths

    folder = HERE.parent / "build" / ("ops_asan" if sanitize else "ops")
    folder.mkdir(parents=True, exist_ok=True)
    compiler, args = _compiler(), _compile_args(sanitize)
    includes = [f"-I{path}" for path in [*_include_dirs(), sysconfig.get_path("include")]]
    headers = max(p.stat().st_mtime for p in HERE.glob("*/csrc/**/*") if p.suffix in (".h", ".inl"))
    objects, running = [], []
    for source in sources():
        target = folder / (source.replace("/", "_") + ".o")
        objects.append(str(target))
        newest = max(headers, (HERE.parent / source).stat().st_mtime, Path(__file__).stat().st_mtime)
        if target.exists() and target.stat().st_mtime > newest:
            continue
        command = [compiler, *args, "-fPIC", *includes, "-c", str(HERE.parent / source), "-o", str(target)]
        running.append((source, subprocess.Popen(command)))
        if len(running) >= jobs:
            _finish(running)
    _finish(running)
    output = HERE / f"_C{SUFFIX}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        fresh = Path(scratch) / output.name
        libraries = [f"-L{path}" for path in library_paths()] + ["-ltorch", "-ltorch_cpu", "-lc10"]
        link = ["-fsanitize=address,undefined"] if sanitize else []
        subprocess.run([compiler, "-shared", *link, *objects, *libraries, "-o", str(fresh)], check=True)
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
    parser.add_argument("--asan", action="store_true", help="with address and undefined-behaviour sanitizers")
    parser.add_argument("--jobs", type=int, default=1, help="compilers at a time (default: 1)")
    options = parser.parse_args(argv)
    print(f"built {build_in_place(options.asan, options.jobs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
