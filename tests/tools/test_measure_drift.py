"""Drift of sparse models whose gates decide at random."""

import numpy as np
import pytest
import torch

from tests.commands import command_module
from tests.contracts.helpers import TINY_R50, build_tiny, sparse
from vosplug.evaluation.work_report import adjustable_parts
from vosplug.inference.synthetic_frames import WanderingDiscs
from vosplug.models.backbones.sparse_convs import load_dense_weights
from vosplug.utils.errors import InputError

TOOL = command_module("measure_drift")
CASES, DriftCase, freeze_gates, last_key = TOOL.CASES, TOOL.DriftCase, TOOL.freeze_gates, TOOL.last_key
main, mean_iou, measure_drift = TOOL.main, TOOL.mean_iou, TOOL.measure_drift
BASE = "_base_/stcn_r50_model.py"


def models(share, policy="SemiMixed"):
    dense = build_tiny(BASE, TINY_R50)
    found = {}
    for case in CASES:
        found[case.name] = build_tiny(BASE, {**TINY_R50, **sparse(case.conv, policy)})
        load_dense_weights(found[case.name], dense.state_dict())
        freeze_gates(found[case.name], case, share)
    return dense, found


def test_nothing_left_out_is_no_drift():
    dense, found = models(0.0)
    discs = WanderingDiscs(3, (48, 64), 2)
    drifts = measure_drift(dense, found, discs, discs.labels(0))
    assert set(drifts) == {case.name for case in CASES}
    for drift in drifts.values():
        assert len(drift.features) == len(drift.masks) == 3
        assert max(drift.features) < 1e-4 and min(drift.masks) == 1


def test_sites_that_are_left_out_move_the_features():
    dense, found = models(0.5)
    discs = WanderingDiscs(4, (48, 64), 1)
    drifts = measure_drift(dense, found, discs, discs.labels(0))
    for name, drift in drifts.items():
        assert drift.features[0] < 1e-5 and drift.masks[0] == 1  # the first frame is dense
        assert all(value > 1e-3 for value in drift.features[1:]), name
    assert drifts["triple, reuse"].features[1] < drifts["triple, skip"].features[1]


def test_gates_are_frozen_to_the_kinds_of_sites_that_a_layer_knows():
    for case, kinds in zip(CASES, ({1, 2}, {0, 1, 2}, {0, 2}, {0, 2}, {1, 2}), strict=True):
        model = build_tiny(BASE, {**TINY_R50, **sparse(case.conv, "Mixed")})
        freeze_gates(model, case, 0.5)
        layer = adjustable_parts(model)[0]
        policy = layer.gate.settle(layer.forced(layer.name, (1, 30, 30), torch.device("cpu")))
        assert set(policy.unique().tolist()) == kinds
    with pytest.raises(InputError, match="no sparse convolution"):
        freeze_gates(build_tiny(BASE, TINY_R50), DriftCase("x", "TripleSparseConv", 0), 0.5)


def test_keys_are_those_of_the_last_frame_and_the_hook_goes():
    model = build_tiny(BASE, TINY_R50)
    with torch.no_grad(), last_key(model) as held:
        for value in (0.0, 1.0):
            expected = model.key_encoder(torch.full((1, 3, 32, 32), value)).key
            assert torch.equal(held[0], expected)
    assert not model.key_encoder.key_proj._forward_hooks


def test_mean_iou_by_hand():
    ours, theirs = np.array([[1, 1, 0], [2, 0, 0]]), np.array([[1, 0, 0], [0, 0, 3]])
    assert mean_iou(ours, theirs) == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert mean_iou(np.zeros((2, 2), int), np.zeros((2, 2), int)) == 1


@pytest.fixture
def config(tmp_path):
    from tests.contracts.helpers import CONFIGS
    from vosplug.utils.configs import load_config

    cfg = load_config(CONFIGS / BASE)
    cfg.merge_from_dict({**TINY_R50, **sparse("TripleSparseConv", "Mixed")})
    (tmp_path / "tiny.py").write_text(f"model = {cfg.model.to_dict()!r}\n")
    return tmp_path / "tiny.py"


def test_command(config, tmp_path, capsys):
    import json

    target = tmp_path / "drift.json"
    assert main([str(config), "--size", "48", "64", "--objects", "1", "--frames", "2", "--json", str(target)]) == 0
    result = json.loads(target.read_text())
    assert set(result["cases"]) == {case.name for case in CASES} and result["share"] == 0.5
    assert all(len(case["features"]) == 3 for case in result["cases"].values())
    assert "residual, keep" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, message", [
    (["--share", "2"], "--share"), (["--video", "x"], "--mask"), (["--cfg-options", "model.sparse=None"], "'sparse'")])
def test_bad_input_is_one_line(config, capsys, arguments, message):
    assert main([str(config), *arguments]) == 2
    assert message in capsys.readouterr().err
