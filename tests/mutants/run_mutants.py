"""Breaks lines of the package one at a time, and names those that no test notices.

    python tests/mutants/run_mutants.py                       # the lines of lines.json, some seconds each
    python tests/mutants/run_mutants.py --draw 80 --seed 1    # draw other lines and write them to lines.json

Every broken line is a copy of the repository in a temporary folder, in which the tests beside the module run until the
first failure. ``lines.json`` also holds the equivalent ones: broken, they do what they did, for the reason given.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutants.breaking import Place, broken, places  # noqa: E402

LINES = Path(__file__).with_name("lines.json")
PARTS = [Path("vosplug", part) for part in (
    "models/losses", "models/gates", "models/memories", "models/online", "models/attentions", "models/tracklets",
    "models/preprocessors", "evaluation/functional", "structures", "datasets/transforms", "engine/schedules.py")]
"""Folders and modules whose lines are broken; the tests of a folder are in the folder of that name."""
LIMIT = 600  # seconds after which a broken line counts as noticed: it hangs


def mirror(path: Path) -> Path:
    """Where the tests of a module or folder of the package are."""
    name = f"test_{path.name}" if path.suffix else path.name
    return Path("tests", *path.parts[1:-1], name)


def where_tested(module: str) -> list[Path]:
    """What tests a module: the file that mirrors it, if there is one, then all of its part of the package."""
    path = Path(module)
    part = next(part for part in PARTS if path.is_relative_to(part))
    return [tests for tests in dict.fromkeys((mirror(path), mirror(part))) if (ROOT / tests).exists()]


def draw(number: int, seed: int) -> list[dict]:
    """Places to break, drawn from all modules of :data:`PARTS`, at most one of a line."""
    modules = sorted({path for part in PARTS
                      for path in ([ROOT / part] if part.suffix else (ROOT / part).rglob("*.py"))})
    candidates = {}
    for path in modules:
        source = path.read_text()
        for place in places(source):
            line = source.splitlines()[place.line - 1].strip()
            candidates.setdefault((str(path.relative_to(ROOT)), line), []).append(place)
    generator = random.Random(seed)
    drawn = generator.sample(sorted(candidates), number)
    return [entry(module, line, generator.choice(candidates[module, line])) for module, line in sorted(drawn)]


def entry(module: str, line: str, place: Place) -> dict:
    """What the file of lines says of a place."""
    return {"module": module, "line": line, "kind": place.kind, "before": place.before, "after": place.after}


def find(source: str, wanted: dict) -> Place | None:
    """The place of an entry, wherever its line stands now; None if the line is no longer there."""
    lines = source.splitlines()
    for place in places(source):
        if (lines[place.line - 1].strip(), place.kind, place.before) == (wanted["line"], wanted["kind"],
                                                                         wanted["before"]):
            return place
    return None


def copied(folder: Path) -> Path:
    """A copy of what the tests need."""
    copy = folder / "vosplug"
    ignore = shutil.ignore_patterns("__pycache__", ".git", ".venv", "build", "*.egg-info", "work_dirs", "demo_out")
    shutil.copytree(ROOT, copy, ignore=ignore, symlinks=True)
    return copy


def noticed(copy: Path, tests: Path) -> bool:
    """Whether one of the tests fails."""
    shared = os.environ.get("VOSPLUG_SHARED", str(ROOT.parent / "shared"))
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "VOSPLUG_SHARED": shared}
    call = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(tests)]
    try:
        return subprocess.run(call, cwd=copy, env=environment, capture_output=True, timeout=LIMIT).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def survives(copy: Path, wanted: dict) -> bool:
    """Break one line in the copy, run its tests, mend it."""
    path = copy / wanted["module"]
    source = path.read_text()
    path.write_text(broken(source, find(source, wanted)))
    try:
        return not any(noticed(copy, tests) for tests in where_tested(wanted["module"]))
    finally:
        path.write_text(source)


def main(argv: list[str] | None = None) -> int:
    """Break all lines; the status is 1 if one that is not equivalent survives, or is no longer there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", type=int, metavar="N", help="draw N lines anew and write them, without breaking any")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", metavar="TEXT", help="modules whose path has this text")
    options = parser.parse_args(argv)
    if options.draw:
        LINES.write_text(json.dumps(draw(options.draw, options.seed), indent=1, ensure_ascii=False) + "\n")
        return 0
    lines = [wanted for wanted in json.loads(LINES.read_text()) if not options.only or options.only in wanted["module"]]
    gone = [wanted for wanted in lines if find((ROOT / wanted["module"]).read_text(), wanted) is None]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        for number, wanted in enumerate(lines):
            if wanted in gone or "equivalent" in wanted:
                continue
            if survives(copy, wanted):
                survivors.append(wanted)
            state = "survives" if wanted in survivors else "noticed"
            print(f"{number + 1}/{len(lines)} {state}: {wanted['module']}: {wanted['line']}: "
                  f"{wanted['before']} -> {wanted['after']}", flush=True)
    equivalent = sum("equivalent" in wanted for wanted in lines)
    print(f"{len(lines)} lines, {equivalent} equivalent, {len(survivors)} survive, {len(gone)} no longer there")
    for wanted in gone:
        print(f"no longer there: {wanted['module']}: {wanted['line']}")
    return 1 if survivors or gone else 0


if __name__ == "__main__":
    raise SystemExit(main())
