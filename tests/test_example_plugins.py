"""The plugins in ``examples/`` work as their documentation says: trained and tested by the commands."""

import json
import subprocess
import sys

import pytest

CONFIG = """
_base_ = [{base!r}]
data_root = {data!r}
train_dataloader = dict(dataset=dict(type="VideoClips", size=48, videos=dict(
    type="DavisDataset", data_root=data_root, split="train")), batch_size=2, num_workers=0)
clip = dict(length=2)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-3))
train_cfg = dict(max_iters=4)
"""
PART = "model.matching_head=dict(_delete_=True, type='CosineMatching')"


@pytest.fixture
def run(root):
    """Run a script of ``tools/`` and return what it printed."""

    def run(name, *arguments, status=0):
        done = subprocess.run([sys.executable, str(root / "tools" / f"{name}.py"), *map(str, arguments)],
                              capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def test_the_cosine_head_is_under_forty_lines(root):
    assert len((root / "examples" / "plugins" / "cosine_matching.py").read_text().splitlines()) < 40


def test_the_cosine_head_is_trained_and_tested(root, tmp_path, run):
    run("make_synthetic", tmp_path / "data", "--videos", 3, "--val", 1, "--size", 48, 64, "--frames", 5)
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(base=str(root / "configs" / "_base_" / "stcn_small_model.py"),
                                    data=str(tmp_path / "data" / "davis")))
    plugin = ("--plugin", root / "examples" / "plugins" / "cosine_matching.py")
    options = ("--cfg-options", PART)
    assert "CosineMatching" in run("list_plugins", "matching_head", *plugin)
    assert "unknown matching head type 'CosineMatching'" in run("train", config, *options, status=2)
    run("train", config, *plugin, *options, "--work-dir", tmp_path / "work", "--device", "cpu")
    run("test", config, tmp_path / "work" / "final.pth", *plugin, *options, "--eval", "davis", "--data-root",
        tmp_path / "data" / "davis", "--json", tmp_path / "scores.json", "--device", "cpu")
    assert 0 <= json.loads((tmp_path / "scores.json").read_text())["J&F-Mean"] <= 1
