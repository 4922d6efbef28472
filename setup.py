"""Packaging of vosplug; the operators are compiled where a compiler and torch are at hand, and left out elsewhere."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    """Requirements of ``requirements/NAME.txt``, without comments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in (line.split("#")[0].strip() for line in lines) if line]


def version() -> str:
    """Version of the package, read without importing it."""
    text = (ROOT / "vosplug" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, flags=re.MULTILINE).group(1)


def folder_packages(folder: str, *, needs_init: bool) -> dict[str, str]:
    """Packages for a top-level folder that is installed as ``vosplug.FOLDER``: name to folder."""
    paths = [ROOT / folder, *sorted(path for path in (ROOT / folder).rglob("*") if path.is_dir())]
    wanted = [path.relative_to(ROOT) for path in paths
              if (path / "__init__.py" if needs_init else path).exists() and "__pycache__" not in path.parts]
    return {".".join(("vosplug", *path.parts)): path.as_posix() for path in wanted}


def compiled() -> dict:
    """Arguments of ``setup`` for the compiled operators: none of them where they cannot be built."""
    path = ROOT / "ops" / "build.py"
    if not path.is_file():
        return {}
    spec = spec_from_file_location("vosplug_ops_build", path)
    build = module_from_spec(spec)
    spec.loader.exec_module(build)
    reason = build.why_not()
    if reason:
        print(f"note: {reason}", file=sys.stderr)
        return {}
    return {"ext_modules": build.extensions(), "cmdclass": {"build_ext": build.build_command()}}


mapped = {**folder_packages("ops", needs_init=True), **folder_packages("configs", needs_init=False)}
readme = ROOT / "README.md"
setup(
    name="vosplug",
    version=version(),
    description="A toolbox for efficient video object and video instance segmentation",
    long_description=readme.read_text(encoding="utf-8") if readme.is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["vosplug", "vosplug.*"]), *mapped],
    package_dir=mapped,
    package_data={"vosplug.configs": ["*.py"], "vosplug.weights": ["*.pth", "*.md"]},
    include_package_data=False,
    install_requires=requirements("runtime"),
    extras_require={name: requirements(name) for name in ("mm", "tests", "optional", "pretrained")},
    entry_points={"console_scripts": ["vosplug = vosplug.cli.main:main"]},
    zip_safe=False,
    **compiled(),
)
