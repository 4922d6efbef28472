"""Validation during training, and keeping of the best weights."""

import pytest
import torch
from train_helpers import davis_tree, tiny_config, train, validation, weights

from vosplug.engine import VOSRunner, split_stages
from vosplug.evaluation.loop import evaluate_videos
from vosplug.registry import DATASETS, METRICS, MODELS
from vosplug.utils.checkpoint import load_checkpoint_file, load_weights
from vosplug.utils.errors import ConfigError

KEYS = {"J&F-Mean", "J-Mean", "F-Mean"}


@pytest.fixture
def davis(tmp_path):
    return davis_tree(tmp_path / "davis", dict(a=5, b=6))


def score_of(cfg, checkpoint) -> float:
    """J&F-Mean of a checkpoint, computed apart from training."""
    model = MODELS.build(cfg.model)
    load_weights(model, checkpoint)
    scores = evaluate_videos(model, DATASETS.build(cfg.val_dataset), METRICS.build(cfg.val_evaluator), progress=False)
    return scores["J&F-Mean"]


@pytest.mark.parametrize("ema", [None, dict(momentum=0.2)])
def test_the_best_weights_are_those_that_scored_best(tmp_path, davis, capsys, ema):
    work = tmp_path / "run"
    changes = dict(train_cfg=dict(max_iters=30, val_interval=6), default_hooks=dict(ema=ema), **validation(davis))
    results = train(work, **changes)
    lines = [row for row in capsys.readouterr().out.splitlines() if "validation:" in row]
    scores = {int(row.split()[1].split("/")[0]): float(row.split("J&F-Mean ")[1].split()[0]) for row in lines}
    assert sorted(scores) == [6, 12, 18, 24, 30] and max(scores.values()) > 0.5
    best = results[0].best
    assert best["metric"] == "J&F-Mean" and best["score"] == pytest.approx(max(scores.values()), abs=1e-4)
    assert scores[best["iter"]] == max(scores.values())
    saved = load_checkpoint_file(work / "best.pth")
    assert set(saved) == {"state_dict", "meta"} and saved["meta"]["best"] == best
    assert score_of(tiny_config(work, **changes), work / "best.pth") == pytest.approx(best["score"], abs=1e-9)


def test_validation_does_not_change_training(tmp_path, davis):
    train(tmp_path / "a", train_cfg=dict(max_iters=8, val_interval=3), **validation(davis))
    train(tmp_path / "b", train_cfg=dict(max_iters=8))
    ours, theirs = weights(tmp_path / "a" / "final.pth"), weights(tmp_path / "b" / "final.pth")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_best_score_survives_a_resume(tmp_path, davis):
    changes = dict(optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)), param_scheduler=[], **validation(davis))
    train(tmp_path / "run", train_cfg=dict(max_iters=2, val_interval=1), **changes)
    first = load_checkpoint_file(tmp_path / "run" / "best.pth")["meta"]["best"]
    results = train(tmp_path / "run", resume=True, train_cfg=dict(max_iters=4, val_interval=1), **changes)
    assert results[0].best["iter"] == first["iter"] == 1  # weights do not change, so no later score is better


def test_an_unknown_score_to_watch(tmp_path, davis):
    with pytest.raises(ConfigError, match="none of which is IoU"):
        train(tmp_path / "run", train_cfg=dict(max_iters=1), default_hooks=dict(checkpoint=dict(monitor="IoU")),
              **validation(davis))


def test_faults_of_the_validation_show_before_training(tmp_path, davis, capsys):
    wrong = validation(davis) | dict(val_evaluator=dict(type="DavisMetrc"))
    with pytest.raises(ConfigError, match="(?i)did you mean 'DavisMetric'"):
        train(tmp_path / "run", **wrong)
    assert "iterations" not in capsys.readouterr().out


def test_the_metric_of_the_data_set_is_the_default_and_a_stage_can_leave_validation_out(tmp_path, davis, capsys):
    changes = validation(davis)
    stages = [dict(name="a", max_iters=1, val_dataset=None), dict(name="b", max_iters=1)]
    results = train(tmp_path / "run", stages=stages, **changes)
    assert results[0].best is None and results[1].best["metric"] == "J&F-Mean"
    changes.pop("val_evaluator")
    assert train(tmp_path / "other", train_cfg=dict(max_iters=1), **changes)[0].best["metric"] == "J&F-Mean"
    assert capsys.readouterr().out.count("validation:") == 2


def test_options_of_the_session(tmp_path, davis):
    cfg = tiny_config(tmp_path / "run", test_session=dict(max_short_side=16), **validation(davis))
    loop = VOSRunner(split_stages(cfg)[0], device=torch.device("cpu")).val_loop
    assert loop.session_options == dict(max_short_side=16)
    assert set(loop.run()) > KEYS
