"""The train command."""

import pytest

from vosplug.cli.train import build_parser, main, set_amp
from vosplug.utils.checkpoint import load_checkpoint_file

CONFIG = """
seed = 3
data_root = "data"
model = dict(type="TinySegmentor", preprocessor=dict(type="VOSPreprocessor"), losses=[dict(type="TinyCE")])
train_dataloader = dict(dataset=dict(type="TinyClips"), batch_size=2, num_workers=0)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-2))
train_cfg = dict(max_iters=3)
"""


@pytest.fixture
def run(tmp_path, root):
    """Call the command with a tiny config; give options after its own."""
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)

    def call(*options: str) -> int:
        fixed = ["--plugin", str(root / "tests/engine/tiny_parts.py"), "--device", "cpu"]
        return main([str(config), "--work-dir", str(tmp_path / "run"), *fixed, *options])

    return call


def test_a_run_a_refusal_and_a_resume(run, tmp_path, capsys):
    assert run() == 0
    shown = capsys.readouterr().out
    assert "train 3/3  100%" in shown and "final.pth" in shown and "Training" in shown
    assert run() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "--resume" in error
    assert run("--resume", "--cfg-options", "train_cfg.max_iters=5") == 0
    assert load_checkpoint_file(tmp_path / "run" / "final.pth")["meta"]["iter"] == 5
    assert run("--overwrite", "--seed", "4") == 0
    meta = load_checkpoint_file(tmp_path / "run" / "final.pth")["meta"]
    assert (meta["iter"], meta["seed"]) == (3, 4)


def test_amp(run, tmp_path, capsys):
    assert run("--amp") == 0
    assert "amp='auto'" in load_checkpoint_file(tmp_path / "run" / "final.pth")["meta"]["cfg"]
    assert run("--amp", "fp16", "--overwrite") == 2
    assert "fp16 needs a GPU" in capsys.readouterr().err


def test_amp_reaches_stages_with_their_own_optimizer():
    cfg = dict(optim_wrapper=dict(amp=None), stages=[dict(optim_wrapper=dict(amp=None)), dict(name="b")])
    set_amp(cfg, "bf16")
    assert cfg == dict(optim_wrapper=dict(amp="bf16"), stages=[dict(optim_wrapper=dict(amp="bf16")), dict(name="b")])


@pytest.mark.parametrize("options, text", [
    (("--launcher", "pytorch"), "torchrun"),
    (("--launcher", "slurm"), "unknown launcher"),
    (("--device", "gpu"), "unknown device"),
    (("--seed", "-1"), "seed must be"),
    (("--cfg-options", "model.losses.0.nan_at=1"), "loss_ce is nan"),
    (("--cfg-options", "train_dataloader.dataset.fail_at=2"), "clip 2: picture is damaged"),
])
def test_faults_are_one_line(run, capsys, monkeypatch, options, text):
    monkeypatch.delenv("RANK", raising=False)
    assert run(*options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and text in error


def test_a_missing_config(capsys):
    assert main(["nowhere.py"]) == 2
    assert "nowhere.py" in capsys.readouterr().err


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    names = ("--data-root", "--work-dir", "--resume", "--amp", "--plugin", "--cfg-options", "--launcher", "--seed")
    assert caught.value.code == 0 and all(name in shown for name in names)
