"""Training in processes of its own: killed and resumed, and two of them together."""

import os
import signal
import subprocess
import time

import pytest
import torch
from train_helpers import call, command, davis_tree, differing, train, validation, weights, write_config

from vosplug.engine.processes import check_launcher, pick_device
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.errors import ConfigError


@pytest.fixture
def one_thread():
    """Sums depend on the number of threads, and the other processes have one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def kill_when(path, arguments, log) -> None:
    """Start training and kill it as soon as ``path`` exists."""
    with open(log, "w") as stream:
        process = subprocess.Popen(command(*arguments), env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=stream,
                                   stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, log.read_text()


def test_kill_and_resume_give_identical_weights(tmp_path, one_thread):
    """With stages, a curriculum, gradient accumulation, EMA, dropout, batch norm and data workers."""
    changes = dict(
        train_dataloader=dict(dataset=dict(type="TinyClips", delay=0.01), batch_size=2, num_workers=1),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), accumulative_counts=2, clip_grad=dict(max_norm=1.0)),
        curriculum=[dict(begin=0.5, length=4, batch_size=1)],
        default_hooks=dict(ema=dict(momentum=0.1), checkpoint=dict(interval=4)),
        stages=[dict(name="static", max_iters=5), dict(name="main", max_iters=40)])
    config = write_config(tmp_path / "config.py", **changes)
    arguments = (config, "--work-dir", tmp_path / "killed")
    kill_when(tmp_path / "killed" / "1_main" / "iter_16.pth", arguments, tmp_path / "log.txt")
    assert not (tmp_path / "killed" / "final.pth").exists()
    done = call(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "static: complete (5 iterations)" in done.stdout and "main: iterations 0 " not in done.stdout
    train(tmp_path / "whole", **changes)
    assert differing(tmp_path / "killed" / "final.pth", tmp_path / "whole" / "final.pth") == []
    name = "1_main/iter_40.pth"
    one, two = load_checkpoint_file(tmp_path / "killed" / name), load_checkpoint_file(tmp_path / "whole" / name)
    assert all(torch.equal(value, two["train_state_dict"][key]) for key, value in one["train_state_dict"].items())


def test_two_processes_are_one_with_twice_the_batch(tmp_path, one_thread):
    """Clips are shared out, gradients averaged, videos of the validation split."""
    davis = davis_tree(tmp_path / "davis", dict(a=5, b=6, c=4))

    def changes(batch: int, log: str) -> dict:
        dataset = dict(type="TinyClips", log=str(tmp_path / log))
        return dict(train_dataloader=dict(dataset=dataset, batch_size=batch, num_workers=0),
                    model=dict(type="TinySegmentor", preprocessor=dict(type="VOSPreprocessor"), dropout=0.0, norm=False,
                               losses=[dict(type="TinyCE")]),
                    optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.2, momentum=0.9), accumulative_counts=2),
                    train_cfg=dict(max_iters=12, val_interval=12), **validation(davis))

    config = write_config(tmp_path / "two.py", **changes(1, "two.txt"))
    done = call(config, "--work-dir", tmp_path / "two", "--launcher", "pytorch", torchrun=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("train 12/12  100%") == 1  # only the first process speaks
    train(tmp_path / "one", **changes(2, "one.txt"))
    ours, theirs = weights(tmp_path / "two" / "final.pth"), weights(tmp_path / "one" / "final.pth")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    drawn = [sorted((tmp_path / name).read_text().splitlines()) for name in ("one.txt", "two.txt")]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 24
    best = [load_checkpoint_file(tmp_path / name / "best.pth")["meta"]["best"] for name in ("one", "two")]
    assert best[0]["score"] == pytest.approx(best[1]["score"], abs=1e-3) and best[0]["score"] > 0


def test_launchers(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    check_launcher("none")
    with pytest.raises(ConfigError, match=r"RANK, LOCAL_RANK.*torchrun"):
        check_launcher("pytorch")
    with pytest.raises(ConfigError, match="Did you mean 'pytorch'"):
        check_launcher("pytroch")
    for name, value in dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="2", MASTER_ADDR="x", MASTER_PORT="1").items():
        monkeypatch.setenv(name, value)
    check_launcher("pytorch")
    with pytest.raises(ConfigError, match="add --launcher pytorch"):
        check_launcher("none")


def test_devices():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        pick_device("gpu")
    with pytest.raises(ConfigError, match="cpu, cuda or mps"):
        pick_device("meta")
    if not torch.backends.mps.is_available():
        with pytest.raises(ConfigError, match="no Apple GPU"):
            pick_device("mps")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="0 usable CUDA devices"):
            pick_device("cuda")


def stop_when(path, arguments, log, *, group: bool, torchrun: int = 0) -> int:
    """Start training and send SIGTERM as soon as ``path`` has a line; return the exit status."""
    with open(log, "w") as stream:
        process = subprocess.Popen(command(*arguments, torchrun=torchrun), env={**os.environ, "OMP_NUM_THREADS": "1"},
                                   stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + 120
        while not (path.exists() and path.read_text()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        send = os.killpg if group else os.kill
        send(process.pid, signal.SIGTERM)
        return process.wait(timeout=120)


@pytest.mark.parametrize(("workers", "group"), [(0, False), (2, True)])
def test_sigterm_saves_and_resume_gives_identical_weights(tmp_path, one_thread, workers, group):
    """Also where the signal goes to the data workers too (``timeout``, batch systems), and between two updates."""
    log = tmp_path / "clips.txt"

    def changes(log) -> dict:
        dataset = dict(type="TinyClips", delay=0.02, log=log)
        return dict(train_dataloader=dict(dataset=dataset, batch_size=2, num_workers=workers),
                    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), accumulative_counts=3),
                    default_hooks=dict(ema=dict(momentum=0.1), checkpoint=dict(interval=1000)),
                    train_cfg=dict(max_iters=60))

    config = write_config(tmp_path / "config.py", **changes(str(log)))
    arguments = (config, "--work-dir", tmp_path / "run")
    assert stop_when(log, arguments, tmp_path / "out.txt", group=group) == 143, (tmp_path / "out.txt").read_text()
    said = (tmp_path / "out.txt").read_text().splitlines()
    assert said[-1] == "terminated" and not any("rror" in line or "Traceback" in line for line in said)
    (saved,) = (tmp_path / "run").glob("*.pth")
    number = int(saved.stem.removeprefix("iter_"))
    assert 0 < number < 60 and number % 3 == 0 and not list((tmp_path / "run").glob(".*"))
    done = call(*arguments, "--resume")
    assert done.returncode == 0 and f"iterations {number} to 60" in done.stdout, done.stderr
    train(tmp_path / "whole", **changes(None))
    assert differing(tmp_path / "run" / "final.pth", tmp_path / "whole" / "final.pth") == []


def test_sigterm_ends_all_processes_after_the_same_iteration(tmp_path, one_thread):
    log = tmp_path / "clips.txt"
    config = write_config(tmp_path / "config.py", train_cfg=dict(max_iters=2000), train_dataloader=dict(
        dataset=dict(type="TinyClips", delay=0.02, log=str(log)), batch_size=1, num_workers=0))
    arguments = (config, "--work-dir", tmp_path / "run", "--launcher", "pytorch")
    stop_when(log, arguments, tmp_path / "out.txt", group=False, torchrun=2)
    said = (tmp_path / "out.txt").read_text()
    assert said.count("terminated\n") == 2 and "RuntimeError" not in said, said
    (saved,) = (tmp_path / "run").glob("iter_*.pth")
    drawn = len(log.read_text().splitlines())
    assert drawn == 2 * int(saved.stem.removeprefix("iter_"))
