"""``python -m vosplug.env``: what is installed, what is missing, and the command that installs it.

The module imports nothing but the standard library at its top, so that it can say what is missing.
"""

import argparse
import importlib
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from .cli.common import command


@dataclass(frozen=True)
class Part:
    """A package: the name it is imported by, the distributions that may bring it, and what it is for."""

    module: str
    distributions: tuple[str, ...]
    purpose: str
    install: str
    required: bool = False


BUILD_MMCV = "pip install --no-build-isolation onedl-mmcv"
REQUIRED = "semi-supervised VOS"
MMDET = "mmdet's parts in a config"
PARTS = (
    Part("torch", ("torch",), REQUIRED, "pip install torch", required=True),
    Part("mmengine", ("onedl-mmengine", "mmengine"), REQUIRED, "pip install onedl-mmengine", required=True),
    Part("numpy", ("numpy",), REQUIRED, "pip install numpy", required=True),
    Part("cv2", ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
         REQUIRED, "pip install opencv-python-headless", required=True),
    Part("PIL", ("pillow",), REQUIRED, "pip install pillow", required=True),
    Part("pycocotools", ("pycocotools",), REQUIRED, "pip install pycocotools", required=True),
    Part("scipy", ("scipy",), REQUIRED, "pip install scipy", required=True),
    Part("psutil", ("psutil",), REQUIRED, "pip install psutil", required=True),
    Part("rich", ("rich",), REQUIRED, "pip install rich", required=True),
    Part("mmcv", ("onedl-mmcv", "mmcv", "mmcv-lite"), MMDET,
         f"pip install 'setuptools<81' wheel ninja && {BUILD_MMCV}"),
    Part("mmdet", ("onedl-mmdetection", "mmdet"), MMDET, "pip install onedl-mmdetection"),
    Part("av", ("av",), "exact timestamps of videos, and formats that OpenCV cannot decode", "pip install av"),
    Part("tensorboard", ("tensorboard",), "curves of a training run", "pip install tensorboard"),
    Part("matplotlib", ("matplotlib",), "figures of the benchmark tools", "pip install matplotlib"),
)
# Two distributions that bring one package overwrite each other's files.
RIVALS = (("onedl-mmengine", "mmengine"), ("onedl-mmcv", "mmcv"), ("onedl-mmcv", "mmcv-lite"),
          ("onedl-mmdetection", "mmdet"))


def distribution_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def inspect_part(part: Part) -> dict[str, Any]:
    """State of one package: ``version`` (None if it is missing) and ``problem`` (None if it imports)."""
    if util.find_spec(part.module) is None:
        return {"version": None, "problem": "not installed"}
    version = next((found for found in map(distribution_version, part.distributions) if found), None)
    try:
        module = importlib.import_module(part.module)
    except Exception as error:  # a broken install raises anything, and this report is what names it
        return {"version": version, "problem": f"cannot be imported: {type(error).__name__}: {_first_line(error)}"}
    return {"version": version or getattr(module, "__version__", "unknown"), "problem": None}


def inspect_torch() -> dict[str, Any] | None:
    """Threads, processor capability and CUDA of torch; None without torch."""
    try:
        import torch
    except Exception:
        return None
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda_build": torch.version.cuda,
        "cuda_devices": [torch.cuda.get_device_name(index) for index in devices],
    }


def inspect_ops() -> dict[str, Any]:
    """Whether the operators of vosplug, and those of mmcv, are compiled."""
    try:
        importlib.import_module("mmcv._ext")
        mmcv = True
    except Exception:  # missing, or built for another torch
        mmcv = False
    return {"vosplug": _own_extension(), "mmcv": mmcv}


def _own_extension() -> str | None:
    """Name of the file of compiled operators that loads, or None."""
    try:
        import torch

        spec = util.find_spec("vosplug.ops")
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).glob("_C*.so")):
                torch.ops.load_library(str(path))
                return path.name
    except (ImportError, OSError, RuntimeError):
        return None
    return None


def inspect_video() -> dict[str, Any]:
    """What can decode video: OpenCV's FFmpeg, PyAV, and an ``ffmpeg`` program."""
    try:
        import cv2

        lines = [line.split(":", 1)[1].strip() for line in cv2.getBuildInformation().splitlines() if "FFMPEG:" in line]
        opencv = bool(lines) and lines[0].startswith("YES")
    except Exception:
        opencv = False
    return {"opencv_ffmpeg": opencv, "pyav": util.find_spec("av") is not None, "ffmpeg": shutil.which("ffmpeg")}


def collect() -> dict[str, Any]:
    """Everything that the report shows, as plain values."""
    from . import __version__

    packages = {part.module: inspect_part(part) for part in PARTS}
    ops = inspect_ops()
    return {
        "vosplug": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "compiler": next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None),
        "torch": inspect_torch(),
        "packages": packages,
        "ops": ops,
        "video": inspect_video(),
        "missing": _missing(packages, ops),
        "conflicts": _conflicts(),
    }


def _missing(packages: dict, ops: dict) -> list[dict[str, Any]]:
    missing = [{"name": part.module, "problem": packages[part.module]["problem"], "needed_for": part.purpose,
                "required": part.required, "install": part.install}
               for part in PARTS if packages[part.module]["problem"]]
    if packages["mmcv"]["problem"] is None and not ops["mmcv"]:
        missing.append({"name": "mmcv.ops", "problem": "mmcv has no compiled operators that load with this torch",
                        "needed_for": MMDET, "required": False,
                        "install": f"pip uninstall -y mmcv-lite onedl-mmcv && {BUILD_MMCV}"})
    if ops["vosplug"] is None and (util.find_spec("vosplug.ops") or _clone()):
        build = f"pip install --no-build-isolation {f'-e {_clone()}' if _clone() else '.'}"
        missing.append({"name": "vosplug.ops", "problem": "not compiled: the slower PyTorch code runs",
                        "needed_for": "the speed of sparse methods", "required": False,
                        "install": f"pip install 'setuptools<81' wheel ninja && {build}"})
    return missing


def _clone() -> Path | None:
    """The clone that this package runs from, if it has sources of operators."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "ops" / "build.py").is_file() else None


def _conflicts() -> list[dict[str, str]]:
    found = [{"problem": f"{ours} and {other} are both installed and overwrite each other's files",
              "fix": f"pip uninstall -y {other} {ours} && pip install --no-build-isolation {ours}"}
             for ours, other in RIVALS if distribution_version(ours) and distribution_version(other)]
    opencv = next(part for part in PARTS if part.module == "cv2")
    builds = {name: distribution_version(name) for name in opencv.distributions}
    builds = {name: version for name, version in builds.items() if version}
    if len(set(builds.values())) > 1:
        listed = " and ".join(f"{name} {version}" for name, version in builds.items())
        found.append({"problem": f"{listed} share the folder cv2 in different versions",
                      "fix": f"pip uninstall -y {' '.join(builds)} && pip install opencv-python-headless"})
    return found


def report(found: dict[str, Any]) -> str:
    """The text that people read."""
    torch, video, ops = found["torch"], found["video"], found["ops"]
    capability = f", {torch['cpu_capability']}, {torch['threads']} threads" if torch else ""
    lines = [f"vosplug     {found['vosplug']}", f"python      {found['python']} on {found['platform']}",
             f"processors  {found['cpus']}{capability}", f"compiler    {found['compiler'] or 'none'}"]
    if torch:
        build = f"build {torch['cuda_build']}" if torch["cuda_build"] else "not in this build of torch"
        lines.append(f"CUDA        {build}, {', '.join(torch['cuda_devices']) or 'no device'}")
    lines += [f"{name:<11} {state['version'] or state['problem']}" for name, state in found["packages"].items()]
    lines.append(f"video       OpenCV's FFmpeg {'yes' if video['opencv_ffmpeg'] else 'no'}, "
                 f"PyAV {'yes' if video['pyav'] else 'no'}, ffmpeg {video['ffmpeg'] or 'no'}")
    lines.append(f"operators   vosplug {ops['vosplug'] or 'not compiled'}, "
                 f"mmcv {'compiled' if ops['mmcv'] else 'not compiled'}")
    for title, wanted in (("missing, and required", True), ("missing, and optional", False)):
        items = [item for item in found["missing"] if item["required"] is wanted]
        if items:
            lines += ["", f"{title}:"]
            lines += [f"  {item['name']}: {item['problem']} (for {item['needed_for']})\n      {item['install']}"
                      for item in items]
    for item in found["conflicts"]:
        lines += ["", f"conflict: {item['problem']}", f"      {item['fix']}"]
    return "\n".join(lines)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def build_parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(prog="python -m vosplug.env", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Print the report; exit status 0 whatever is missing."""
    args = build_parser().parse_args(argv)
    found = collect()
    print(json.dumps(found, indent=2) if args.json else report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
