"""Validation during training, and keeping of the best weights."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from train_helpers import davis_tree, differing, tiny_config, train, validation, weights

from vosplug.engine import VOSRunner, split_stages
from vosplug.evaluation.families import evaluate_videos
from vosplug.evaluation.metrics import DavisMetric
from vosplug.registry import DATASETS, HOOKS, METRICS, MODELS
from vosplug.utils.checkpoint import load_checkpoint_file, load_weights
from vosplug.utils.errors import ConfigError, DataError

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


@METRICS.register_module()
class FailingMetric(DavisMetric):
    """A metric that cannot score, as long as the file ``fault`` exists."""

    def __init__(self, fault: str):
        super().__init__()
        self.fault = Path(fault)

    def compute(self):
        if self.fault.exists():
            raise DataError("no frame is left to score")
        return super().compute()


@pytest.mark.parametrize("ema", [None, dict(momentum=0.2)])
@pytest.mark.parametrize("failing", [5, 10, 12])
def test_a_validation_that_fails_loses_nothing(tmp_path, davis, capsys, failing, ema):
    """The checkpoint is there before, training goes on from it with the validation, and ends as if nothing had been."""
    fault = tmp_path / "fault"

    @HOOKS.register_module("FaultAt", force=True)
    class FaultAt(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx + 1 == failing and (tmp_path / "armed").exists():
                fault.touch()

    changes = {**validation(davis), "val_evaluator": dict(type="FailingMetric", fault=str(fault)),
               "train_cfg": dict(max_iters=12, val_interval=5), "custom_hooks": [dict(type="FaultAt")],
               "default_hooks": dict(ema=ema, checkpoint=dict(interval=100, keep=None))}
    train(tmp_path / "whole", **changes)
    whole = [row for row in capsys.readouterr().out.splitlines() if "validation:" in row]
    work, armed = tmp_path / "run", tmp_path / "armed"
    armed.touch()
    with pytest.raises(DataError, match="no frame is left"):
        train(work, **changes)
    name = f"iter_{failing}.pth"
    assert (work / "last_checkpoint").read_text() == f"{name}\n"
    assert load_checkpoint_file(work / name)["meta"]["validation_pending"]
    assert differing(work / name, tmp_path / "whole" / name) == []
    with pytest.raises(DataError, match="no frame is left"):
        train(work, resume=True, **changes)
    armed.unlink()
    fault.unlink()
    results = train(work, resume=True, **changes)
    shown = [row for row in capsys.readouterr().out.splitlines() if "validation:" in row]
    assert shown == whole and len(whole) == 3
    names = sorted(path.name for path in (tmp_path / "whole").glob("*.pth"))
    assert names == ["best.pth", "final.pth", "iter_10.pth", "iter_12.pth", "iter_5.pth"]
    for name in names:
        one, two = load_checkpoint_file(work / name), load_checkpoint_file(tmp_path / "whole" / name)
        assert differing(work / name, tmp_path / "whole" / name) == []
        assert one["meta"]["best"] == two["meta"]["best"] and not one["meta"].get("validation_pending")
    assert results[0].best == load_checkpoint_file(tmp_path / "whole" / "best.pth")["meta"]["best"]


def test_a_run_whose_validation_failed_goes_on_without_it(tmp_path, davis):
    fault = tmp_path / "fault"
    fault.touch()
    evaluator = dict(type="FailingMetric", fault=str(fault))
    with pytest.raises(DataError, match="no frame is left"):
        train(tmp_path / "run", **{**validation(davis), "val_evaluator": evaluator})
    assert not (tmp_path / "run" / "final.pth").exists()
    train(tmp_path / "run", resume=True)
    train(tmp_path / "whole")
    assert differing(tmp_path / "run" / "final.pth", tmp_path / "whole" / "final.pth") == []


def test_a_validation_waits_for_the_update(tmp_path, davis, capsys):
    """Gradients that wait for an update are in no checkpoint, so nothing can be saved between two updates."""
    optimiser = dict(optimizer=dict(type="AdamW", lr=1e-2), accumulative_counts=4)
    changes = {**validation(davis), "train_cfg": dict(max_iters=10, val_interval=3)}
    train(tmp_path / "run", optim_wrapper=optimiser, default_hooks=dict(checkpoint=dict(interval=100, keep=None)),
          **changes)
    rows = [row.split()[1] for row in capsys.readouterr().out.splitlines() if "validation:" in row]
    assert rows == ["4/10", "8/10", "10/10"]
    assert {path.name for path in (tmp_path / "run").glob("iter_*")} == {"iter_4.pth", "iter_8.pth", "iter_10.pth"}


def test_the_best_weights_are_chosen_after_the_checkpoint_is_written(tmp_path, davis):
    """An unknown key of the score is found at the first validation."""
    with pytest.raises(ConfigError, match="none of which is IoU"):
        train(tmp_path / "run", train_cfg=dict(max_iters=6, val_interval=2),
              default_hooks=dict(checkpoint=dict(monitor="IoU")), **validation(davis))
    assert (tmp_path / "run" / "iter_2.pth").is_file() and not (tmp_path / "run" / "best.pth").exists()
