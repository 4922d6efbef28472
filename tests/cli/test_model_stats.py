"""The command model_stats."""

import json

import pytest

from vosplug.cli.model_stats import main
from vosplug.registry import SEGMENTORS


@pytest.fixture
def config(tmp_path):
    """A narrow model in a config file."""
    (tmp_path / "tiny.py").write_text(f"model = {SEGMENTORS.example('STCN')!r}\n")
    return str(tmp_path / "tiny.py")


def test_table_and_json(config, tmp_path, capsys):
    target = tmp_path / "stats.json"
    assert main([config, "--shape", "33", "60", "--objects", "2", "--memory-frames", "2", "--json", str(target)]) == 0
    text = capsys.readouterr().out
    assert "33x60 (padded to 48x64), 2 object(s)" in " ".join(text.split())
    assert all(name in text for name in ("key_encoder", "value_encoder", "matching_head", "decoder", "total"))
    result = json.loads(target.read_text())
    assert set(result) == {"params", "state_mib", "macs_g", "macs_g_first", "macs_g_query", "macs_g_memory", "modules",
                           "shape", "padded_shape", "objects", "memory_frames"}
    assert (result["shape"], result["padded_shape"], result["objects"], result["memory_frames"]) == (
        [33, 60], [48, 64], 2, 2)
    keys = {"params", "state_mib", "macs_g", "macs_g_first", "macs_g_query", "macs_g_memory"}
    assert all(set(part) == keys for part in result["modules"].values())
    assert result["macs_g"] == pytest.approx(sum(part["macs_g"] for part in result["modules"].values()))


def test_options_of_the_config_count(config, tmp_path):
    sizes = []
    for channels in (8, 24):
        target = tmp_path / f"{channels}.json"
        assert main([config, "--shape", "32", "32", "--json", str(target), "--cfg-options",
                     f"model.key_encoder.key_channels={channels}"]) == 0
        sizes.append(json.loads(target.read_text())["modules"]["key_encoder"]["params"])
    assert sizes[1] - sizes[0] == 16 * (32 * 9 + 1)


@pytest.mark.parametrize("extra, message", [(["--density", "0.5"], "no sparse convolution"),
                                            (["--cfg-options", "model.key_encoder.key_chanels=3"], "key_channels")])
def test_bad_options_are_one_line(config, capsys, extra, message):
    assert main([config, "--shape", "32", "32", *extra]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line and message in line


@pytest.mark.parametrize("extra", [["--shape", "0", "3"], ["--objects", "0"], ["--memory-frames", "-1"]])
def test_numbers_below_one_are_refused(config, extra):
    with pytest.raises(SystemExit) as stop:
        main([config, *extra])
    assert stop.value.code == 2


def test_gated_models_have_columns_of_their_own(tmp_path, capsys):
    config, target = tmp_path / "gated.py", tmp_path / "stats.json"
    config.write_text(f"model = {SEGMENTORS.example('ReuseGated')!r}\n")
    assert main([str(config), "--shape", "40", "56", "--reuse-rate", "0.25", "--json", str(target)]) == 0
    found, said = json.loads(target.read_text()), " ".join(capsys.readouterr().out.split())
    kinds = ("first", "full", "reuse", "copy", "update", "ungated")
    assert all(kind in said for kind in kinds) and found["macs_g"] == found["macs_g_full"]
    assert found["macs_g_copy"] < found["macs_g_reuse"] < found["macs_g_full"] < found["macs_g_update"]
    assert found["macs_g_ungated"] < found["macs_g_full"]
    mean = 0.75 * found["macs_g_full"] + 0.25 * found["macs_g_reuse"]
    assert found["macs_g_mean"] == pytest.approx(mean)
    assert found["speedup_by_work"] == pytest.approx(found["macs_g_ungated"] / mean)
    assert f"at a reuse rate of 0.25: {mean:.2f} GMACs per frame" in said


@pytest.mark.parametrize("name, rate, message", [("FRTM", "0.5", "it has no reuse gate"),
                                                 ("ReuseGated", "-0.5", "must lie in 0..1")])
def test_rates_that_mean_nothing(tmp_path, capsys, name, rate, message):
    (tmp_path / "m.py").write_text(f"model = {SEGMENTORS.example(name)!r}\n")
    assert main([str(tmp_path / "m.py"), "--shape", "40", "56", "--reuse-rate", rate]) == 2
    assert message in capsys.readouterr().err
