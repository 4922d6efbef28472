"""How often training saves: a tenth of the run, at most every 1,000 iterations, in every config."""

import re
from types import SimpleNamespace

import pytest

from tests.contracts.helpers import CONFIGS
from vosplug.engine.hooks import CheckpointHook
from vosplug.engine.stages import split_stages
from vosplug.utils.configs import load_config

ALL = sorted(CONFIGS.rglob("*.py"))
RUNS = [path for path in ALL if "_base_" not in path.parts]


def interval(max_iters, **options):
    """Iterations between two checkpoints of a run."""
    hook = CheckpointHook(**options)
    hook.before_train(SimpleNamespace(max_iters=max_iters))
    return hook.every


@pytest.mark.parametrize(("iterations", "every"), [(1, 1), (9, 1), (40, 4), (2400, 240), (10_000, 1000),
                                                   (160_000, 1000)])
def test_default(iterations, every):
    assert interval(iterations) == every
    assert interval(iterations, interval=7) == 7


def test_no_config_sets_another_interval():
    assert len(RUNS) > 100
    for path in ALL:
        for options in re.findall(r"checkpoint\s*=\s*dict\(([^)]*)\)", path.read_text()):
            assert "interval" not in options, path


@pytest.mark.slow
def test_each_stage_of_each_config_saves_at_a_tenth():
    tried = 0
    for path in RUNS:
        config = load_config(path)
        if config.get("train_cfg") is None:
            continue
        for stage in split_stages(config):
            length = stage.max_iters
            options = {**(stage.cfg.get("default_hooks") or {}).get("checkpoint", {})}
            options.pop("type", None)
            assert interval(length, **options) == max(1, min(1000, length // 10)), path
            tried += 1
    assert tried > 100
