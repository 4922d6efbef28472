"""Configs in YAML and JSON are data: whatever stands in them, nothing runs."""

import json

import pytest

from tests.commands import command_module
from vosplug.utils.config_check import known_registries
from vosplug.utils.configs import list_configs, load_config
from vosplug.utils.data_configs import check_types, registered
from vosplug.utils.errors import ConfigError

CALLS = ("os.system", "subprocess.call", "builtins.exec", "pathlib.Path.write_text", "evil", "evil.run",
         "shutil.rmtree", "mmengine.fileio.put_text", "vosplug.utils.files.written", "torch.nn.Linear")
PLACES = {"model": lambda part: {"model": part},
          "a part below": lambda part: {"model": {"type": "STCN", "key_encoder": {"backbone": part}}},
          "a list": lambda part: {"custom_hooks": [part]},
          "a data set": lambda part: {"train_dataloader": {"dataset": {"type": "VideoClips", "videos": part}}},
          "an optimiser": lambda part: {"optim_wrapper": {"optimizer": part}},
          "a constructor": lambda part: {"optim_wrapper": {"optimizer": {"type": "SGD"}, "constructor": part["type"]}}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module that leaves a trace where it is imported, which can be imported."""
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('RAN').touch()\nrun = print\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("place", PLACES)
def test_a_type_is_a_registered_part(here, place):
    for name in CALLS:
        path = here / "config.json"
        path.write_text(json.dumps(PLACES[place]({"type": name, "command": "touch RAN"})))
        with pytest.raises(ConfigError, match=f"{name!r} is no registered part"):
            load_config(path)
    assert not (here / "RAN").exists()


@pytest.mark.parametrize("verb", ["train", "model_stats", "test", "demo"])
def test_commands_refuse_it_in_one_line(here, capsys, verb):
    (here / "config.yaml").write_text("model: {type: os.system, command: touch RAN}\n")
    more = {"test": ["w.pth", "--eval", "davis", "--data-root", "."], "demo": ["w.pth", "x.mp4", "--out", "o"]}
    assert command_module(verb).main([str(here / "config.yaml"), *more.get(verb, [])]) == 2
    error = capsys.readouterr().err.strip()
    assert "'os.system' is no registered part" in error and "\n" not in error
    assert not (here / "RAN").exists()


@pytest.mark.parametrize("text", [
    "model: !!python/object/apply:os.system ['touch RAN']", "model: !!python/name:os.system",
    "model: !!python/object/new:os.system ['touch RAN']", "model: !!python/module:evil",
    "custom_imports: {imports: evil}", "_base_: evil.py"])
def test_tags_imports_and_programs_below_are_refused(here, text):
    (here / "config.yaml").write_text(f"{text}\n")
    with pytest.raises(ConfigError, match="YAML or JSON is data"):
        load_config(here / "config.yaml")
    assert not (here / "RAN").exists()


def test_all_shipped_configs_could_be_data(tmp_path):
    """Types that they name are parts, or names of norms."""
    for name in ("stcn_small", "spvos_small", "aott", "sst_r101", "efficientvis_small", "g_frtm_r101"):
        assert name in list_configs()
        text = json.dumps(load_config(name).to_dict())
        (tmp_path / "c.json").write_text(text)
        assert load_config(tmp_path / "c.json").to_dict()["model"] == json.loads(text)["model"]


def test_parts_of_other_packages_are_found_by_their_registries():
    with pytest.raises(ConfigError, match="model.type: 'mmengine.nothing' is no registered part"):
        check_types({"model": {"type": "mmengine.nothing"}}, "c", known_registries())
    assert any(registered(registry, "STCN") is not None for registry in known_registries())
