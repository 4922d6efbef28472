"""Finding and loading config files."""

import textwrap

import pytest
from torch import nn

from vosplug.registry import BACKBONES, MODELS
from vosplug.utils.configs import find_config, list_configs, load_config
from vosplug.utils.errors import ConfigError


@pytest.fixture
def config(tmp_path):
    """Write a config file, with a base, and return its path."""

    def write(text, name="probe.py", base=""):
        (tmp_path / "base.py").write_text(textwrap.dedent(base))
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


BASE = """
    data_root = 'data/DAVIS'
    model = dict(type='Net', depth=2)
    train_dataloader = dict(dataset=dict(data_root=data_root, masks=data_root + '/Annotations', other='data/DAVIS2'))
"""


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Configs that come with the package, in a folder of the test."""
    folder = tmp_path / "packaged"
    (folder / "_base_").mkdir(parents=True)
    (folder / "family").mkdir()
    (folder / "_base_" / "schedule.py").write_text("")
    (folder / "stcn_small.py").write_text("answer = 1\n")
    (folder / "family" / "other.py").write_text("")
    monkeypatch.setattr("vosplug.utils.configs.config_folders", lambda: [folder])
    return folder


def test_a_config_is_found_by_path_and_by_name(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = packaged / "stcn_small.py"
    for name in (wanted, str(wanted), "stcn_small", "stcn_small.py", "configs/stcn_small.py", "./configs/stcn_small"):
        assert find_config(name) == wanted
    assert find_config("family/other") == packaged / "family" / "other.py"
    assert list(list_configs()) == ["family/other", "stcn_small"]
    monkeypatch.chdir(packaged)
    assert find_config("stcn_small.py") == wanted


@pytest.mark.parametrize(("name", "message"), [
    ("stcn_smal", "config 'stcn_smal' not found.*Did you mean 'stcn_small'.*Known: family/other, stcn_small"),
    ("configs/stcn_smal.py", "Did you mean 'stcn_small'"),
    ("_base_/schedule", "not found"),
])
def test_a_config_that_is_missing(packaged, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        find_config(name)


def test_a_file_that_is_no_config(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="weights.pth is not a config file"):
        find_config(tmp_path / "weights.pth")


def test_loading_merges_bases_and_sets_defaults(config):
    path = config("_base_ = 'base.py'\nmodel = dict(depth=3)\n", base=BASE)
    cfg = load_config(path)
    assert cfg.model == {"type": "Net", "depth": 3}
    assert cfg.default_scope == "vosplug"
    assert cfg.work_dir == "work_dirs/probe"
    assert load_config(path, work_dir="out").work_dir == "out"


def test_data_root_reaches_every_use(config):
    path = config("_base_ = ['base.py']\nval_dataset = dict(data_root=_base_.data_root)\n", base=BASE)
    for cfg in (load_config(path, data_root="/my/data/"), load_config(path, cfg_options={"data_root": "/my/data"})):
        assert cfg.data_root == "/my/data"
        assert cfg.train_dataloader.dataset == {"data_root": "/my/data", "masks": "/my/data/Annotations",
                                                "other": "data/DAVIS2"}
        assert cfg.val_dataset.data_root == "/my/data"


def test_data_root_needs_the_variable(config):
    with pytest.raises(ConfigError, match="no top-level variable data_root"):
        load_config(config("x = 1\n"), data_root="/my/data")


@pytest.mark.parametrize(("text", "base", "message"), [
    ("x = 1\ny = (\n", "", r"probe\.py, line 2: not valid Python"),
    ("x = 1\ny = x['a']\n", "", r"probe\.py, line 2: the config cannot be executed: TypeError"),
    ("x = {}\n\n\ny = x['a']\n", "", r"probe\.py, line 4: the config cannot be executed: KeyError: a"),
    ("_base_ = 'base.py'\n", "x = 1 +\n", r"base\.py, line 1: not valid Python"),
    ("_base_ = 'base.py'\n", "\n\nx = 1 / 0\n", r"base\.py, line 3: the config cannot be executed: ZeroDivisionError"),
    ("x = 1\n_base_ = ['base.py', 'absent.py']\n", "", r"probe\.py, line 2: 'absent\.py' of _base_ does not exist"),
    ("custom_imports = dict(imports=['no_such_plugin_module'])\n", "",
     r"probe\.py: custom_imports \['no_such_plugin_module'\] failed: ModuleNotFoundError.*PYTHONPATH"),
])
def test_a_broken_config_is_named_with_its_line(config, text, base, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config(text, base=base))


def test_a_config_that_is_no_text(tmp_path):
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary.py"):
        load_config(tmp_path / "binary.py")


@pytest.mark.parametrize(("text", "message"), [
    ("default_hooks = dict(checkpoint=dict(type='CheckpointHok'))", "default_hooks.checkpoint: unknown hook type "
     "'CheckpointHok'. Did you mean 'CheckpointHook'"),
    ("custom_hooks = [dict(type='EMAHook'), dict(type='LoggerHook', intervall=2, priority='LOW')]",
     "custom_hooks.1: LoggerHook has no option 'intervall'. Did you mean 'interval'"),
    ("train_cfg = dict(type='ClipTrainLop', max_iters=2)", "train_cfg: unknown loop type.*'ClipTrainLoop'"),
    ("stages = [dict(train_cfg=dict(type='ClipTrainLop', max_iters=2))]", r"stages\.0\.train_cfg: unknown loop type"),
    ("train_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[dict(type='Davvis')]))",
     "train_dataloader.dataset.datasets.0: unknown dataset type 'Davvis'"),
    ("train_dataloader = dict(dataset=dict(type='VideoClips', videos=dict(type='DavisDatast')))",
     "train_dataloader.dataset.videos: unknown dataset type 'DavisDatast'. Did you mean 'DavisDataset'"),
    ("train_dataloader = dict(dataset=dict(transforms=[dict(type='NoSuchTransform')]))",
     "train_dataloader.dataset.transforms.0: unknown transform type"),
    ("default_hooks = dict(checkpoint=dict(intervall=3))",
     "default_hooks.checkpoint: CheckpointHook has no option 'intervall'. Did you mean 'interval'"),
    ("val_evaluator = dict(type='DavisMetrik')", "val_evaluator: unknown metric type.*'DavisMetric'"),
    ("test_dataset = dict(type='DavisDatast')", "test_dataset: unknown dataset type"),
    ("frobnicate = 3", r"nothing reads the key 'frobnicate'. Take it out, or put .* into extras=dict\(...\)"),
    ("val_datset = dict()", "nothing reads the key 'val_datset'. Did you mean 'val_dataset'"),
])
def test_types_that_the_runner_builds_are_checked(config, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config(text))


def test_a_variable_of_any_name_is_fine_where_it_is_read(config):
    cfg = load_config(config("modell = dict(depth=1)\nmodel = modell\nextras = dict(unrelated=3)\n"))
    assert cfg.model.depth == 1 and cfg.extras.unrelated == 3
    assert "modell" not in cfg  # so that a saved config has nothing that nobody reads
    assert load_config(config(cfg.pretty_text)).model.depth == 1


def test_plugins_and_custom_imports_are_loaded_first(config, tmp_path, monkeypatch):
    plugin = tmp_path / "config_plugin.py"
    plugin.write_text("from vosplug.registry import HOOKS\nfrom mmengine.hooks import Hook\n"
                      "@HOOKS.register_module()\nclass ConfigPluginHook(Hook):\n"
                      "    def __init__(self, size=1):\n        self.size = size\n")
    path = config("custom_hooks = [dict(type='ConfigPluginHook')]\n")
    with pytest.raises(ConfigError, match="unknown hook type 'ConfigPluginHook'"):
        load_config(path)
    cfg = load_config(path, plugins=[str(plugin)], cfg_options={"custom_hooks.0.size": 3})
    assert cfg.custom_hooks[0].size == 3

    module = tmp_path / "config_plugin_module.py"
    module.write_text("from vosplug.registry import BACKBONES\nfrom torch import nn\n"
                      "@BACKBONES.register_module()\nclass ConfigPluginBackbone(nn.Module):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_config(config("custom_imports = dict(imports=['config_plugin_module'], allow_failed_imports=False)\n"))
    try:
        assert isinstance(BACKBONES.build({"type": "ConfigPluginBackbone"}), nn.Module)
    finally:
        BACKBONES._members.pop("ConfigPluginBackbone")
        MODELS.module_dict.pop("ConfigPluginBackbone")
