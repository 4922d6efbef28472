"""EfficientVIS in the training loop: mixed precision, saved memory, accumulation, and two processes as one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.cli.test_efficientvis_commands import MODEL, write_split
from tests.models.tracklets.helpers import moving_squares, tiny_model
from vosplug.engine import run_training
from vosplug.utils.checkpoint import load_checkpoint_file

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"val_dataset": None, "optim_wrapper.accumulative_counts": 1, "train_cfg.max_iters": 3}


@pytest.fixture
def place(tmp_path):
    for split in ("train", "valid"):
        write_split(tmp_path / "data", split, gone=None)
    (tmp_path / "tiny.py").write_text(MODEL.replace('"data"', repr(str(tmp_path / "data"))))
    return tmp_path


def train(place: Path, name: str, **options) -> dict[str, torch.Tensor]:
    """Train the tiny model in this process; its weights."""
    config = Config.fromfile(place / "tiny.py")
    config.merge_from_dict({**PLAIN, **{key.replace("__", "."): value for key, value in options.items()}})
    config.work_dir = str(place / name)
    run_training(config, device=torch.device("cpu"))
    return load_checkpoint_file(place / name / "final.pth")["state_dict"]


def distance(one: dict, two: dict) -> float:
    """Largest difference of two state dicts."""
    assert list(one) == list(two)
    return max(float((one[name].float() - two[name].float()).abs().max()) for name in one)


def test_checkpointing_and_chunks_change_no_weight(place):
    plain = train(place, "plain")
    assert distance(plain, train(place, "again")) == 0
    assert distance(plain, train(place, "saved", model__checkpointing=True)) < 1e-5
    assert distance(plain, train(place, "whole", model__frame_chunk=None)) < 1e-4


def test_frozen_weights_stay_and_are_no_reason_to_warn(place, capfd):
    trained = train(place, "frozen", model__backbone__frozen_stages=1)
    said = capfd.readouterr()
    assert "requires_grad" not in said.out + said.err
    other = train(place, "other", model__backbone__frozen_stages=1, train_cfg__max_iters=1)
    fixed = [name for name in trained if name.startswith(("backbone.conv1", "backbone.layer1"))]
    assert fixed and all(torch.equal(trained[name], other[name]) for name in fixed)
    assert distance(trained, other) > 0


def test_mixed_precision_trains_near_full_precision(place):
    plain = train(place, "plain", train_cfg__max_iters=1)
    for options in ({}, {"model__checkpointing": True}):
        mixed = train(place, f"mixed{len(options)}", train_cfg__max_iters=1, optim_wrapper__amp="bf16", **options)
        assert all(value.dtype == plain[name].dtype and torch.isfinite(value).all() for name, value in mixed.items())
        assert 0 < distance(plain, mixed) <= 2.1e-3  # AdamW moves by the learning rate, 1e-3, at most


def test_accumulated_gradients_are_those_of_the_whole_batch():
    model = tiny_model().train()
    items = [[moving_squares(start=v + 3 * p) for p in range(2)] for v in range(2)]

    def gradients(groups):
        model.zero_grad()
        for group in groups:
            data = model.data_preprocessor(dict(inputs=[[clip for clip, _ in item] for item in group],
                                                data_samples=[[sample for _, sample in item] for item in group]))
            losses = model.loss(**data)
            (sum(v for k, v in losses.items() if k.startswith("loss")) / len(groups)).backward()
        return [p.grad.clone() for p in model.parameters()]

    for whole, parts in zip(gradients([items]), gradients([[item] for item in items]), strict=True):
        assert torch.allclose(whole, parts, atol=1e-4, rtol=1e-3)


def call(place: Path, tool: str, *arguments, processes: int = 1) -> str:
    """Run a tool, maybe in several processes; what it said."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    launcher = ["--launcher", "pytorch"] if processes > 1 else []
    line = [sys.executable, *many, str(ROOT / "tools" / tool), str(place / "tiny.py"), *map(str, arguments)]
    done = subprocess.run([*line, "--device", "cpu", *launcher], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(place):
    """Clips and videos are shared out, gradients and the numbers that losses are divided by averaged."""
    shutil.rmtree(place / "data" / "train")
    write_split(place / "data", "train", gone=0)  # so that clips differ in the number of frames with an instance
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = ["optim_wrapper.optimizer.type=SGD", "optim_wrapper.optimizer.lr=0.01", "train_cfg.max_iters=4",
               "val_dataset=None", "optim_wrapper.accumulative_counts=2"]
    call(place, "train.py", "--work-dir", place / "two", "--cfg-options", *options, "train_dataloader.batch_size=1",
         processes=2)
    call(place, "train.py", "--work-dir", place / "one", "--cfg-options", *options)
    torch.set_num_threads(threads)
    one, two = (load_checkpoint_file(place / name / "final.pth")["state_dict"] for name in ("one", "two"))
    assert distance(one, two) < 1e-5
    for processes in (1, 2):
        call(place, "test.py", place / "one" / "final.pth", "--eval", "youtube_vis", "--json",
             place / f"{processes}.json", "--out", place / f"out{processes}", processes=processes)
    numbers = [json.loads((place / f"{k}.json").read_text()) for k in (1, 2)]
    for key in numbers[0].keys() - {"fps"}:
        assert numbers[0][key] == numbers[1][key], key
    tracks = [json.loads((place / f"out{k}" / "results.json").read_text()) for k in (1, 2)]
    assert tracks[0] == tracks[1] and tracks[0]
