"""Another value of every option of data sets, transforms, metrics, hooks, readers, writers, ... changes something."""

import inspect
from dataclasses import fields

import pytest
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS

import vosplug.engine  # noqa: F401  it registers with mmengine
from vosplug.datasets.synthetic import SyntheticOptions
from vosplug.registry import PARITY_RUNS, REGISTRIES, RUNNERS, Registry

from . import data_cases, engine_cases, loop_cases  # noqa: F401  they make the tables
from .data_trees import make_trees
from .options import Compared, options_of
from .other_options import CASES, Case
from .parts import is_ours

# What cannot be seen in what a part gives, and why.
UNSEEN = {
    **dict.fromkeys((f"{name}.cache_mib" for name in ("VideoClips", "UnlabelledClips", "StaticImageClips", "VISClips",
                                                      "SyntheticClips", "SyntheticVISClips")), "memory and speed"),
    "CameraReader.index": "needs a camera", "CameraReader.max_frames": "needs a camera",
    "VOSOptimWrapper.loss_scale": "half precision on a GPU", "WarmupPolyLR.verbose": "it prints",
    "VideoReader.by_time": "damaged files: tests/inputs/test_kinds_of_files.py",
}
# Registries whose parts are not built from options of a config alone, and where they are tested.
NOT_COVERED = {RUNNERS.name: "tests/engine", PARITY_RUNS.name: "tests/parity"}
COVERED = [*(registry for name, registry in REGISTRIES.items() if name not in NOT_COVERED), OPTIM_WRAPPERS,
           PARAM_SCHEDULERS]


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A folder with data of all layouts."""
    return make_trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture(autouse=True)
def among_the_trees(trees, monkeypatch):
    """Paths of the tables lie there."""
    monkeypatch.chdir(trees)


def parts_with_options() -> dict[str, set[str]]:
    """Options of every part of the package, by its name."""
    found = {}
    for registry in COVERED:
        if isinstance(registry, Registry):
            registry.import_from_location()
        found |= {name: {option.name for option in options_of(cls)} for name, cls in registry.module_dict.items()
                  if inspect.isclass(cls) and is_ours(cls)}
    return {name: options for name, options in found.items() if options}


@pytest.mark.parametrize("case", [pytest.param(case, id=str(case)[:60]) for case in CASES])
def test_every_option_changes_something(case: Case):
    both = Compared(case.build, case.ask)
    verdicts = {name: both.verdict({name: value}) for name, value in case.others.items()}
    assert verdicts == dict.fromkeys(verdicts, "changed")


def test_every_option_is_in_a_table_or_named():
    known = {f"{name}.{option}" for name, options in parts_with_options().items() for option in options}
    asked = {f"{case.name}.{option}" for case in CASES for option in case.others}
    assert len(known) > 150 and set(UNSEEN) <= known and not asked & set(UNSEEN)
    assert known - asked == set(UNSEEN)


def test_every_knob_of_synthetic_videos_is_turned():
    assert {field.name for field in fields(SyntheticOptions)} == set(data_cases.KNOBS)


def test_a_part_answers_twice_the_same():
    case = next(case for case in CASES if case.name == "VideoClips")
    assert Compared(case.build, case.ask).verdict({}) == "same"
