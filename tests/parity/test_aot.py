"""Numerical parity with the public AOT and DeAOT."""

import json

import numpy as np
import pytest
import torch

from vosplug.cli.parity import check, main
from vosplug.parity import AOTParity, Manifest, compare
from vosplug.parity.aot.building import build_model
from vosplug.parity.aot.training import step_of
from vosplug.utils.errors import CheckpointError, DataError, InputError

from .aot_variants import KEYS, TRAINED_FROM, VARIANTS, manifest_of, state_dict_of

pytestmark = pytest.mark.shared
SMALL = ["deaott_late_gap2", "aot_preprocess"]
ALL = ["aott_2obj", "deaott_2obj", "r50_deaotl_2obj", "aott_late_gap2", "aott_late_gap9999", "deaott_late_gap9999",
       "deaott_12obj", "aott_flip_ms", "deaott_flip_ms", "aott_train", "deaott_train"]


def read(shared, name):
    return Manifest.read(shared / "golden" / f"{name}.json")


@pytest.fixture(scope="module")
def manifests(shared):
    return {name: read(shared, f"{name}_2obj") for name in ("aott", "deaott", "r50_deaotl")}


def changed(manifest, **spec):
    """The manifest with other top-level keys."""
    return Manifest(manifest.path, {**manifest.spec, **spec}, manifest.expected, manifest.inputs)


@pytest.mark.parametrize("name", SMALL)
def test_every_tensor_of_a_small_manifest(shared, name):
    manifest = read(shared, name)
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == {*manifest.spec["outputs"], *manifest.expected}
    assert [row for row in rows if row.fault] == []


def test_the_first_frames_of_aot(shared):
    """Frame 0 and 1: all that the manifest stores of one pass through each network, and the first masks."""
    manifest = read(shared, "aott_2obj")
    short = changed(manifest, hyperparameters={**manifest.hyperparameters, "num_frames": 2})
    ours = AOTParity(short).run()
    expected = {name: x for name, x in manifest.expected.items() if name != "lstt_last"}
    for name in ("logits_stride4", "prob"):
        expected[name] = expected[name][:, :1]
    for name in ("label", "long_memory_length"):
        expected[name] = expected[name][:1]
    rows = [compare(name, ours[name], x, manifest.tolerance) for name, x in expected.items()]
    assert len(rows) == 13 and [row for row in rows if row.fault] == []


def test_a_training_step_to_the_last_digit(shared):
    """Loss, terms and gradient norms agree with the doubles of the manifest, not only with the stored floats."""
    manifest = read(shared, "deaott_train")
    case = manifest.spec["cases"][2]
    assert case["use_prev_pred"] and case["without_gradient"] == [
        "patch_wise_id_bank.weight", "patch_wise_id_bank.bias", "id_norm.weight", "id_norm.bias"]
    ours = step_of(manifest, torch.float64, case)
    assert float(ours["loss"]) == pytest.approx(case["loss"], rel=1e-6)
    for name in ("frame_loss", "cross_entropy", "soft_jaccard"):
        assert torch.allclose(ours[name], torch.tensor(case[name], dtype=torch.float64), rtol=1e-6)
    theirs = torch.tensor([case["grad_norm"][name] for name in case["parameters"]], dtype=torch.float64)
    near = (ours["grad_norm"] - theirs).abs() <= 1e-6 * theirs + 1e-9 * theirs.max()
    assert near.all() and len(theirs) == len(case["parameters"]) > 100
    assert float(ours["grad_norm_total"]) == pytest.approx(case["grad_norm_total"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_tensor_of_the_manifest(shared, name):
    manifest = read(shared, name)
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == set(manifest.spec["outputs"])
    assert [row for row in rows if row.fault] == []


def test_the_manifests_are_those_that_the_command_promises(shared):
    found = {path.stem for path in (shared / "golden").glob("*aot*.json")}
    assert found == {*SMALL, *ALL}


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_of_the_variants(manifests, variant):
    state = state_dict_of(variant, manifests)
    assert len(state) == KEYS[variant]
    count = sum(int(np.prod(shape)) for name, shape in state.items())
    if variant in manifests:
        assert state == manifests[variant].spec["state_dict"]
    assert count > TRAINED_FROM[variant]  # buffers of the norms beside


@pytest.mark.parametrize("variant, gap", [*((variant, 9999) for variant in VARIANTS), ("r50_deaotl", 3)])
def test_any_variant_runs_from_its_manifest(shared, manifests, variant, gap):
    """Two frames (five with a gap): the model is that of the manifest, and gives what a run gives."""
    base = read(shared, "deaott_late_gap2")
    inputs = {name: x for name, x in base.spec["inputs"].items() if name != "late_labels"}
    base = changed(base, kind="plain", inputs=inputs)
    frames = 5 if gap == 3 else 2
    manifest = manifest_of(variant, base, manifests, num_frames=frames, long_term_mem_gap=gap)
    ours = AOTParity(manifest, torch.float32).run()
    cells = 8 * 14
    expected = [cells] * (frames - 1) if gap == 9999 else [cells, cells, 2 * cells, 2 * cells]
    assert ours["long_memory_length"].tolist() == expected
    layers = manifest.hyperparameters["lstt_num"]
    assert ours["lstt_frame1"].shape == (layers, 64 if "deaot" in variant else 32, 8, 14)
    assert ours["label"].shape == (frames - 1, 110, 203) and np.isfinite(ours["logits_stride4"]).all()
    assert ours["logits_stride4"].std() > 0.1


def test_the_model_is_that_of_the_manifest(shared, manifests):
    base = read(shared, "deaott_late_gap2")
    model, sources = build_model(manifest_of("r50_aotl", base, manifests, long_term_mem_gap=3), torch.float32)
    assert model.memory.every == 3 and model.memory.max_tokens is None and len(model.matching_head.blocks) == 3
    assert sum(p.numel() for p in model.parameters()) == TRAINED_FROM["r50_aotl"]
    assert sources["encoder.proj.bias"] == "encoder_projector.bias"


def test_faults_of_a_manifest(shared, tmp_path):
    manifest = read(shared, "aott_late_gap2")
    with pytest.raises(InputError, match="no parity run for manifests of kind 'late_objects'. Did you mean 'late_obj"):
        AOTParity(changed(manifest, kind="late_objects")).run()
    wrong = {**manifest.hyperparameters, "config_name": "deaott"}
    with pytest.raises(CheckpointError, match="another family than deaot"):
        AOTParity(changed(manifest, hyperparameters=wrong)).run()
    more = {**manifest.spec["state_dict"], "decoder.more.weight": [2, 2]}
    fill = {**manifest.spec["fill"], "checksum": "0"}
    with pytest.raises(DataError, match="expected 0"):
        AOTParity(changed(manifest, state_dict=more, fill=fill)).run()
    with pytest.raises(DataError, match="has no array 'label_frame9'"):
        manifest.array("label_frame9")
    spec = {key: value for key, value in manifest.spec.items() if key != "fill"}
    (tmp_path / "m.json").write_text(json.dumps(spec))
    assert main([str(tmp_path / "m.json")]) == 2


def test_a_wrong_size_is_told(shared, capsys, monkeypatch):
    manifest = read(shared, "aot_preprocess")
    spec = {**manifest.spec, "sizes": [{**manifest.spec["sizes"][0], "output": [480, 848]}]}
    table = Manifest(manifest.path, spec, {**manifest.expected, "sizes": np.array([[480, 848]])}, manifest.inputs)
    faults = [row.name for row in check(table, None, torch.float64).rows if row.fault]
    assert faults == ["sizes"]
