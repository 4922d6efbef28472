"""Registries and the loading of plugins."""

import re
import textwrap

import pytest
from torch import nn

from vosplug import registry
from vosplug.registry import BACKBONES, DECODERS, HOOKS, MODELS, REGISTRIES, load_plugin
from vosplug.registry import load_entry_point_plugins as load_installed
from vosplug.utils.errors import ConfigError

pytestmark = pytest.mark.usefixtures("registries")


@pytest.fixture
def probe():
    """A registered backbone with one needed option."""

    @BACKBONES.register_module()
    class ProbeBackbone(nn.Module):
        def __init__(self, *, channels: int, stride: int = 4):
            super().__init__()
            self.channels, self.stride = channels, stride

    return ProbeBackbone


def write_plugin(path, name="PluginBackbone", body="pass", kind="BACKBONES"):
    path.write_text(textwrap.dedent(f"""
        from torch import nn
        from vosplug.registry import {kind}

        @{kind}.register_module()
        class {name}(nn.Module):
            {body}
    """))
    return path


def test_a_part_is_registered_under_its_kind_and_built(probe):
    assert BACKBONES.members()["ProbeBackbone"] is probe
    assert "ProbeBackbone" not in DECODERS.members()
    part = BACKBONES.build({"type": "ProbeBackbone", "channels": 8})
    assert (part.channels, part.stride) == (8, 4)
    assert MODELS.build({"type": "ProbeBackbone", "channels": 3}).channels == 3


def test_default_options_give_way_to_the_config(probe):
    part = BACKBONES.build({"type": "ProbeBackbone", "stride": 8}, channels=5, stride=16)
    assert (part.channels, part.stride) == (5, 8)


def test_a_part_gets_what_it_names_of_what_is_offered(probe):
    part = BACKBONES.build({"type": "ProbeBackbone", "stride": 8}, channels=5, stride=16, key_channels=7)
    assert (part.channels, part.stride) == (5, 8)
    with pytest.raises(ConfigError, match="ProbeBackbone has no option 'key_channels'"):
        BACKBONES.build({"type": "ProbeBackbone", "key_channels": 7}, channels=5)
    with pytest.raises(ConfigError, match="needs the option 'channels'"):
        BACKBONES.build({"type": probe}, key_channels=7)

    @BACKBONES.register_module()
    class TakesAll(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.options = options

    assert BACKBONES.build({"type": "TakesAll", "a": 1}, b=2).options == {"a": 1, "b": 2}


def test_a_part_may_be_given_as_a_class(probe):
    assert BACKBONES.build({"type": probe, "channels": 2}).channels == 2
    with pytest.raises(ConfigError, match="ProbeBackbone has no option 'chanels'"):
        BACKBONES.build({"type": probe, "chanels": 2})


@pytest.mark.parametrize(("cfg", "message"), [
    ({"type": "ProbeBackbon", "channels": 1}, r"unknown backbone type 'ProbeBackbon'\. Did you mean 'ProbeBackbone'\?"),
    ({"type": "ProbeBackbone", "channel": 1}, r"has no option 'channel'\. Did you mean 'channels'\?.*channels, stride"),
    ({"type": "ProbeBackbone", "channels": 1, "init_cfg": {}}, "has no option 'init_cfg'"),
    ({"type": "ProbeBackbone"}, "needs the option 'channels'"),
    ({"channels": 1}, "needs a dict with the key 'type'"),
    ("ProbeBackbone", "needs a dict with the key 'type'"),
    ({"type": "no_such_package.Thing"}, "unknown model type 'no_such_package.Thing'.*'no_such_package' installed"),
])
def test_a_wrong_config_is_refused_with_a_suggestion(probe, cfg, message):
    with pytest.raises(ConfigError, match=message) as caught:
        BACKBONES.build(cfg)
    assert "\n" not in str(caught.value)


def test_a_part_of_another_kind_is_refused(probe):
    with pytest.raises(ConfigError, match="'ProbeBackbone' is a backbone, not a decoder"):
        DECODERS.build({"type": "ProbeBackbone", "channels": 1})


@pytest.fixture
def painted(probe, monkeypatch):
    """A key that every config of a backbone may have."""
    monkeypatch.setattr(BACKBONES, "modifiers", {})

    @BACKBONES.modifier("paint")
    def paint(part, colour: str, coats: int = 1) -> None:
        part.paint = (colour, coats)

    return probe


@pytest.mark.parametrize("build", [BACKBONES.build, MODELS.build], ids=["kind", "registry"])
def test_a_modifier_changes_what_is_built(painted, build):
    cfg = dict(type="ProbeBackbone", channels=3, paint=dict(colour="red", coats=2))
    assert build(cfg).paint == ("red", 2) and cfg["paint"] == dict(colour="red", coats=2)
    for without in (dict(type="ProbeBackbone", channels=3), dict(type="ProbeBackbone", channels=3, paint=None)):
        assert not hasattr(build(without), "paint")


@pytest.mark.parametrize("more, message", [
    (dict(pant=dict(colour="red")), "no option 'pant'.*'paint'"),
    (dict(paint=dict(color="red")), "ProbeBackbone.paint has no option 'color'.*'colour'"),
    (dict(paint=dict(coats=2)), "ProbeBackbone.paint needs the option 'colour'"),
    (dict(paint=dict(colour="red", coats="two")), "coats must be a number"),
    (dict(paint="red"), "paint must be a dict of options or None")])
def test_options_of_modifiers_are_checked(painted, more, message):
    with pytest.raises(ConfigError, match=message):
        BACKBONES.build(dict(type="ProbeBackbone", channels=3, **more))


def test_a_modifier_is_for_its_kind_alone(painted):
    @DECODERS.register_module()
    class ProbeDecoder(nn.Module):
        def __init__(self):
            super().__init__()

    with pytest.raises(ConfigError, match="ProbeDecoder has no option 'paint'"):
        DECODERS.build(dict(type="ProbeDecoder", paint=dict(colour="red")))


def test_two_parts_of_one_name_are_refused(probe):
    class Other(nn.Module):
        pass

    with pytest.raises(ConfigError, match="'ProbeBackbone' of .* is already registered"):
        BACKBONES.register_module("ProbeBackbone")(Other)
    assert BACKBONES.members()["ProbeBackbone"] is probe


def test_suggestions_reach_the_types_of_mmengine():
    with pytest.raises(ConfigError, match="Did you mean 'CheckpointHook'"):
        HOOKS.check_known({"type": "CheckpointHok"})
    with pytest.raises(ConfigError, match="LoggerHook has no option 'intervall'. Did you mean 'interval'"):
        HOOKS.check({"type": "LoggerHook", "intervall": 1})


def test_every_registry_imports_its_locations():
    for name, each in {**REGISTRIES, MODELS.name: MODELS}.items():
        assert each.names() == list(each.module_dict), name


def test_plugin_file(tmp_path):
    load_plugin(str(write_plugin(tmp_path / "plugin_one.py")))
    assert type(BACKBONES.build({"type": "PluginBackbone"})).__name__ == "PluginBackbone"


def test_a_plugin_file_is_executed_once_until_it_changes(tmp_path):
    path = write_plugin(tmp_path / "plugin_two.py")
    load_plugin(str(path))
    first = BACKBONES.members()["PluginBackbone"]
    load_plugin(str(path))
    assert BACKBONES.members()["PluginBackbone"] is first
    write_plugin(path, body="answer = 42")
    load_plugin(str(path))
    assert BACKBONES.members()["PluginBackbone"].answer == 42


def test_a_plugin_file_may_also_be_imported_as_a_module(tmp_path, monkeypatch):
    path = write_plugin(tmp_path / "plugin_twice.py", name="TwiceHook", kind="HOOKS")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugin("plugin_twice")
    try:
        load_plugin(str(path))
        with pytest.raises(ConfigError, match="'TwiceHook' of test_registry is already registered by vosplug_plu"):
            HOOKS.register_module(name="TwiceHook", module=type("Other", (), {"__module__": "test_registry"}))
    finally:
        HOOKS.module_dict.pop("TwiceHook")


def test_two_plugin_files_of_one_name_do_not_shadow_each_other(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_plugin(tmp_path / folder / "plugin_three.py")
    load_plugin(str(tmp_path / "a" / "plugin_three.py"))
    with pytest.raises(ConfigError, match="already registered"):
        load_plugin(str(tmp_path / "b" / "plugin_three.py"))


def test_plugin_module(tmp_path, monkeypatch):
    write_plugin(tmp_path / "plugin_as_module.py", name="ModuleDecoder", kind="DECODERS")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugin("plugin_as_module")
    assert "ModuleDecoder" in DECODERS.members()


@pytest.mark.parametrize(("content", "message"), [
    ("x = 1\ny = 1 / 0\n", r"bad_plugin\.py, line 2 cannot be imported: ZeroDivisionError: division by zero"),
    ("def broken(:\n", "cannot be imported: SyntaxError"),
    ("import a_module_that_is_missing\n", "line 1 cannot be imported: ModuleNotFoundError: No module named 'a_module"),
])
def test_a_broken_plugin_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "bad_plugin.py"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_plugin(str(path))
    path.write_text("")  # a mended plugin loads in the same process
    load_plugin(str(path))


def test_a_plugin_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"plugin file not found: {tmp_path}/absent.py")):
        load_plugin(f"{tmp_path}/absent.py")
    with pytest.raises(ConfigError, match=r"plugin absent_plugin cannot.*a plugin in a file is named with its \.py"):
        load_plugin("absent_plugin")


def distribution(folder, module, name="fake_plugin"):
    """Make ``folder`` look like an installed distribution with an entry point."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.PLUGIN_GROUP}]\n{name} = {module}\n")


def test_an_installed_plugin_is_loaded(tmp_path, monkeypatch):
    write_plugin(tmp_path / "installed_plugin.py", name="InstalledBackbone")
    distribution(tmp_path, "installed_plugin")
    monkeypatch.syspath_prepend(tmp_path)
    assert "fake_plugin" in load_installed()
    assert "InstalledBackbone" in BACKBONES.members()


def test_a_broken_installed_plugin_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_installed_plugin.py").write_text("raise ValueError('no luck')\n")
    distribution(tmp_path, "broken_installed_plugin", name="unlucky")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"'unlucky' \(broken_installed_plugin\).*ValueError: no luck"):
        load_installed()
