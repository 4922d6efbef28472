"""Converters of AOT and DeAOT: every variant is found, and nothing else is taken."""

import pytest
import torch

from tests.parity.aot_variants import KEYS, TRAINED_FROM, VARIANTS, state_dict_of
from vosplug.cli.convert_checkpoint import main
from vosplug.converters import AOTConverter, DeAOTConverter
from vosplug.inference.model_loading import build_segmentor
from vosplug.parity import Manifest
from vosplug.utils.checkpoint import load_checkpoint_file, load_weights
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError

pytestmark = pytest.mark.shared
SAME_WEIGHTS = {"aotb": "aotl", "deaotb": "deaotl"}


@pytest.fixture(scope="module")
def manifests(shared):
    return {name: Manifest.read(shared / "golden" / f"{name}_2obj.json") for name in ("aott", "deaott", "r50_deaotl")}


def converter_of(variant):
    return (DeAOTConverter if "deaot" in variant else AOTConverter)()


def zeros(variant, manifests):
    return {name: torch.zeros(shape) for name, shape in state_dict_of(variant, manifests).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_found_and_loads_strictly(manifests, variant):
    converter = converter_of(variant)
    result = converter.convert(zeros(variant, manifests))
    assert converter.model_config == f"{SAME_WEIGHTS.get(variant, variant)}.py"
    assert result.unknown == [] and len(result.state) + len(result.dropped) == KEYS[variant]
    assert list(result.dropped) == ([] if "deaot" in variant else ["LSTT.mask_token"])
    model = build_segmentor(load_config(f"{variant}.py"), seed=0)
    load_weights(model, result.state)
    assert not any(p.any() for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == TRAINED_FROM[variant]


@pytest.mark.parametrize("family", ["aot", "deaot"])
@pytest.mark.parametrize("form", ["bare", "module", "state_dict"])
def test_the_command_converts_every_form_of_file(manifests, tmp_path, capsys, family, form):
    weights = {name: torch.from_numpy(x) for name, x in manifests[f"{family}t"].weights().items()}
    given = {"bare": weights, "module": {f"module.{name}": x for name, x in weights.items()},
             "state_dict": {"state_dict": weights, "step": 3}}[form]
    torch.save(given, tmp_path / "source.pth")
    assert main([family, str(tmp_path / "source.pth"), str(tmp_path / "ours.pth")]) == 0
    text = " ".join(capsys.readouterr().out.split())
    counts = {"aot": "322 of 323 weights converted, 1 left out on purpose (a mask token that the source never uses)",
              "deaot": "325 of 325 weights converted"}
    assert f"{counts[family]}; they fit {family}t.py" in text
    ours = load_checkpoint_file(tmp_path / "ours.pth")
    assert ours["meta"] == {"family": family, "config": f"{family}t.py"}
    assert torch.equal(ours["state_dict"]["identity_bank.conv.weight"], weights["patch_wise_id_bank.weight"])


def refused(capsys, tmp_path, family, state):
    torch.save(state, tmp_path / "source.pth")
    assert main([family, str(tmp_path / "source.pth"), str(tmp_path / "ours.pth")]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line and not (tmp_path / "ours.pth").exists()
    return line


def test_the_other_family_is_named(manifests, tmp_path, capsys):
    assert "another family than aot: layers without linear_Q are deaot's" in refused(
        capsys, tmp_path, "aot", zeros("deaott", manifests))
    assert "another family than deaot: layers without linear_QV are aot's" in refused(
        capsys, tmp_path, "deaot", zeros("aotl", manifests))
    assert "no weights of aot: none of the 1 names begins with LSTT.layers." in refused(
        capsys, tmp_path, "aot", {"key_encoder.conv1.weight": torch.zeros(1)})


def test_encoders_that_there_are_not(manifests, tmp_path, capsys):
    state = zeros("deaotl", manifests)
    rest = {name: x for name, x in state.items() if not name.startswith("encoder.")}
    swin = {**rest, "encoder.patch_embed.proj.weight": torch.zeros(1),
            "encoder.layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(1)}
    assert "no deaot with a Swin encoder and 3 propagation layers" in refused(capsys, tmp_path, "deaot", swin)
    deep = {**zeros("r50_deaotl", manifests), "encoder.layer3.6.conv1.weight": torch.zeros(1),
            "encoder.layer3.22.conv1.weight": torch.zeros(1)}
    assert "with ResNet-101 and 3" in refused(capsys, tmp_path, "deaot", deep)
    other = {**rest, "encoder.blocks.0.weight": torch.zeros(1)}
    assert "with an unknown encoder" in refused(capsys, tmp_path, "deaot", other)
    four = {**state, "LSTT.layers.3.linear_QV.weight": torch.zeros(1)}
    assert "4 propagation layers were found" in refused(capsys, tmp_path, "deaot", four)


def test_a_cut_file_is_no_checkpoint(manifests, tmp_path, capsys):
    state = zeros("deaott", manifests)
    del state["decoder.conv_out.bias"]
    assert "1 missing (decoder.conv_out.bias)" in refused(capsys, tmp_path, "deaot", state)
    torch.save(state, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:200_000])
    assert main(["deaot", str(tmp_path / "cut.pth"), str(tmp_path / "ours.pth")]) == 2
    assert "damaged, incomplete, or not a checkpoint" in capsys.readouterr().err


def test_a_config_overrides_the_variant(manifests, tmp_path, capsys):
    torch.save(zeros("aotl", manifests), tmp_path / "source.pth")
    argv = ["aot", str(tmp_path / "source.pth"), str(tmp_path / "ours.pth")]
    assert main([*argv, "--config", "aotb.py"]) == 0
    assert load_checkpoint_file(tmp_path / "ours.pth")["meta"]["config"] == "aotb.py"
    assert main([*argv, "--config", "aots.py"]) == 2
    assert "does not fit AOT" in capsys.readouterr().err


def test_unknown_weights_are_named(manifests):
    state = {**zeros("aott", manifests), "LSTT.layers.0.more.weight": torch.zeros(1)}
    assert AOTConverter().convert(state).unknown == ["LSTT.layers.0.more.weight"]
    with pytest.raises(CheckpointError, match="no weights of deaot"):
        DeAOTConverter().convert({"a": torch.zeros(1)})
