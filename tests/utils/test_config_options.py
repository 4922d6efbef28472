"""Options of the command line that change a config."""

import argparse
import re

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from vosplug.registry import HOOKS
from vosplug.utils.config_check import TOP_KEYS
from vosplug.utils.config_options import OptionsAction, apply_options, set_data_root
from vosplug.utils.errors import ConfigError


@pytest.fixture
def cfg():
    return Config({
        "model": {"type": "Net", "head": {"depth": 2, "sizes": [1, 2]}},
        "custom_hooks": [{"type": "OptionsProbeHook"}],
        "size": (240, 432),
        "train_dataloader": {"dataset": {"crop": (240, 432)}},
        "pair": (1, 2),
        "default_hooks": {"checkpoint": {"interval": 5}},
        "train_cfg": {"max_iters": 8},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.1}},
        "stages": [{"name": "one", "train_cfg": {"max_iters": 2}, "param_scheduler": []}, {"name": "two"}],
    })


@pytest.fixture(autouse=True)
def probe_hook():
    class OptionsProbeHook(Hook):
        def __init__(self, size: int = 1, limit: int | None = None):
            self.size, self.limit = size, limit

    HOOKS.register_module(module=OptionsProbeHook, force=True)
    yield
    HOOKS.module_dict.pop("OptionsProbeHook")


@pytest.mark.parametrize(("text", "value"), [
    ("3", 3), ("-2.5", -2.5), ("1e-3", 1e-3), ("true", True), ("False", False), ("None", None), ("word", "word"),
    ("a b", "ab"), ("'a b'", "a b"), ("'3'", "3"), ("a=b", "a=b"), ("", ""), ("data/x.png", "data/x.png"),
    ("1,2", [1, 2]), ("[1, 2]", [1, 2]), ("(240,432)", (240, 432)), ("[(a,1),b]", [("a", 1), "b"]), ("[]", []),
    ("{'a': 1, 'b': [True]}", {"a": 1, "b": [True]}), ("dict(type='Net', x=dict(y=(1,2)))",
                                                       {"type": "Net", "x": {"y": (1, 2)}}),
    ("[dict(type='A'), dict(type='B')]", [{"type": "A"}, {"type": "B"}]),
])
def test_values_are_read_as_python_or_as_mmengine_does(text, value):
    parsed = OptionsAction.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["novalue", "=3", "x={a:}", "x=dict(a", "x=[1,(2]"])
def test_pairs_that_cannot_be_read(text, capsys):
    parser = argparse.ArgumentParser(prog="probe")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--cfg-options", text])
    assert caught.value.code == 2
    assert "probe: error: argument --cfg-options: " in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value", "read"), [
    ("model.head.depth", 5, lambda cfg: cfg.model.head.depth == 5),
    ("model.head.sizes.1", 9, lambda cfg: cfg.model.head.sizes == [1, 9]),
    ("model.head", {"depth": 7}, lambda cfg: cfg.model.head == {"depth": 7, "sizes": [1, 2]}),
    ("custom_hooks.0.limit", 4, lambda cfg: cfg.custom_hooks[0] == {"type": "OptionsProbeHook", "limit": 4}),
    ("seed", 3, lambda cfg: cfg.seed == 3),
    ("clip", {"length": 3}, lambda cfg: cfg.clip.length == 3),
    ("train_dataloader.num_workers", 0, lambda cfg: cfg.train_dataloader.num_workers == 0),
    ("train_cfg.val_interval", 4, lambda cfg: cfg.train_cfg.val_interval == 4),
    ("optim_wrapper.amp", "bf16", lambda cfg: cfg.optim_wrapper.amp == "bf16"),
    ("default_hooks.checkpoint.keep", 4, lambda cfg: cfg.default_hooks.checkpoint.keep == 4),
    ("default_hooks.progress", None, lambda cfg: cfg.default_hooks.progress is None),
    ("stages.0.clip", {"length": 3}, lambda cfg: cfg.stages[0].clip.length == 3),
    ("stages.0.train_cfg.val_interval", 4, lambda cfg: cfg.stages[0].train_cfg.val_interval == 4),
    ("train_cfg.max_iters", 4, lambda cfg: cfg.train_cfg.max_iters == 4),
])
def test_options_that_something_reads_are_set(cfg, key, value, read):
    apply_options(cfg, {key: value})
    assert read(cfg)


@pytest.mark.parametrize(("key", "value", "message"), [
    ("model.haed.depth", 1, r"model \(Net\) has no 'haed'\. Did you mean 'head'"),
    ("model.head.dept", 1, r"model\.head has no 'dept'\. Did you mean 'depth'"),
    ("model.head", {"dept": 1}, r"model\.head\.dept: model\.head has no 'dept'"),
    ("modle.head", 1, r"the config has no 'modle'\. Did you mean 'model'"),
    ("custom_hooks.0.siz", 1, r"custom_hooks\.0 \(OptionsProbeHook\) has no 'siz'\. Did you mean 'size'"),
    ("custom_hooks.3.size", 1, r"custom_hooks is a list of 1 items, of which '3' is none"),
    ("pair.0", 5, r"pair is a tuple of 2 items, of which '0' is none that can be set"),
    ("model.head.depth.more", 1, r"model\.head\.depth is 2, which has no keys"),
    ("clip.length", 1, r"no 'clip' to change; give it whole: clip=\"dict\(length=\.\.\.\)\""),
    ("train_cfg.max_iter", 1, r"train_cfg has no 'max_iter'. Did you mean 'max_iters'"),
    ("train_dataloader.workers", 1, r"train_dataloader has no 'workers'. Did you mean 'num_workers'"),
    ("optim_wrapper.optimizer.decay", 1, r"optim_wrapper.optimizer \(AdamW\) has no 'decay'"),
    ("default_hooks.checkpoint.kep", 1, r"default_hooks\.checkpoint has no 'kep'\. Did you mean 'keep'"),
    ("default_hooks.chekpoint", None, r"default_hooks has no 'chekpoint'\. Did you mean 'checkpoint'"),
    ("stages.0.init_from", 1, r"stages\.0 has no 'init_from'"),
])
def test_options_that_nothing_reads_are_refused(cfg, key, value, message):
    with pytest.raises(ConfigError, match=message):
        apply_options(cfg, {key: value})


def test_a_variable_that_was_already_used_is_refused(cfg):
    with pytest.raises(ConfigError, match=r"'size' is a variable.*It is used at: train_dataloader\.dataset\.crop\."):
        apply_options(cfg, {"size": (1, 2)}, variables={"size"})
    apply_options(cfg, {"size": (1, 2)})
    assert cfg["size"] == (1, 2)


def test_an_option_that_every_stage_overrides_is_refused(cfg):
    apply_options(cfg, {"stages.1.max_iters": 3})
    with pytest.raises(ConfigError, match=r"train_cfg\.max_iters: every stage of the config has its own value"):
        apply_options(cfg, {"train_cfg.max_iters": 4})


def test_the_list_of_top_keys_is_what_the_package_reads(root):
    """A key that some module starts to read must be listed, or options of it would be refused."""
    read = set()
    for folder in ("engine", "inference", "cli", "evaluation"):
        for path in (root / "vosplug" / folder).rglob("*.py"):
            read |= set(re.findall(r'\b(?:cfg|config)\.get\("(\w+)"', path.read_text()))
    assert len(read) > 10
    assert read - {"max_iters", "type"} <= set(TOP_KEYS)


def test_setting_one_place_leaves_another_that_shared_its_object(cfg):
    cfg.val_dataloader = cfg.test_dataloader = cfg.train_dataloader
    apply_options(cfg, {"val_dataloader.dataset.crop": (1, 1)})
    assert cfg.val_dataloader.dataset.crop == (1, 1)
    assert cfg.test_dataloader.dataset.crop == (240, 432)


def test_a_dict_replaces_instead_of_merging_on_request(cfg):
    apply_options(cfg, {"model.head": {"_delete_": True, "type": "Other"}})
    assert cfg.model.head == {"type": "Other"}


def test_data_root_with_trailing_slashes():
    cfg = Config({"data_root": "old/", "train": {"path": "old/a", "paths": ["old/b", "older/c"], "pair": ("old", 1)}})
    set_data_root(cfg, "new/")
    assert cfg.to_dict() == {"data_root": "new/",
                             "train": {"path": "new/a", "paths": ["new/b", "older/c"], "pair": ("new", 1)}}
