"""Flags of the commands that segment videos change what models see or commands write, or are refused."""

import hashlib
import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.datasets.trees import davis_tree, frame, put_image, youtube_tree
from vosplug.inference import build_segmentor
from vosplug.models.segmentors.base import VOSSegmentor
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.masks import write_mask

MODEL = ["small.py", "small.pth"]
BASES = {
    "test": [*MODEL, "--json", "out/r.json", "--out", "out/masks", "--device", "cpu"],
    "demo": [*MODEL, "frames", "--mask", "first.png", "--out", "out/o.json", "--device", "cpu"],
    "benchmark": ["small.py", "--size", "48", "64", "--frames", "1", "--warm-up", "0", "--threads", "1", "--device",
                  "cpu", "--json", "out/b.json"],
    "test without a model": ["--eval", "davis", "--data-root", "davis", "--json", "out/r.json", "--out", "out/masks",
                             "--baseline", "copy"],
}
VIEWS = ["--max-short-side 32", "--max-long-side 40", "--scales 0.5 1", "--flip", "--amp bf16",
         "--channels-last", "--cfg-options test_session.max_short_side=32"]
# The flag with its value, or what else is given | the flag with its value.
FLAGS = {
    "test": [*VIEWS, "--plugin of_test.py", "--data-root davis_short", "--set train", "--year 2016",
             "--sequences delta", "--eval youtube_vos --data-root youtube", "--json out/other.json",
             "--out out/other", "--show-dir out/shown"],
    "test without a model": ["--baseline flow"],
    "demo": [*VIEWS, "--plugin of_demo.py", "--max-frames 2", "--mask second.png", "--out out/more",
             "--memory-log out/memory.csv", "--mask binary.png | --binary-mask", "--mask masks | --skip-known-ids",
             "--mask masks | --correct"],
    "benchmark": [*VIEWS, "--plugin of_benchmark.py", "--compare small.py --rounds 1", "--stages", "--video frames",
                  "--video frames | --mask first.png", "--size 32 48", "--objects 2", "--frames 2", "--warm-up 1",
                  "--rounds 2", "--threads 2", "--cpu-time", "--json out/other.json"],
}
# Flags that the model of these tests has no use for, or whose value is wrong, and words of the refusal.
REFUSED = {
    "test": {"--show-score 0.5 --show-dir out/shown": "has no effect", "--class-numbers": "has no effect"},
    "demo": {"--show-gate": "gate", "--min-score 0.5": "has no effect", "--clip-length 2": "has no effect",
             "--classes names.txt": "has no effect"},
    "benchmark": {"--clip-length 2": "has no effect", "--density 0.5": "sparse convolutions",
                  "--reuse-rate 0.5": "has no reuse gate", "--same-weights --compare small.py": "sparse convolutions",
                  "--checkpoint2 no_such.pth --compare small.py": "no_such.pth",
                  "--cfg-options2 model.no_such=1 --compare small.py": "no_such"},
}
# Flags that change nothing that can be seen here, and why.
UNSEEN = {
    **{f"{name} {flag}": why for name in REFUSED for flag, why in (
        ("--compile", "speed: test_compiled.py"), ("--no-prepare", "speed: test_prepared.py"),
        ("--device", "there may be but one"))},
    "test --launcher": "several processes: tests/engine/test_processes.py", "demo --prefetch": "speed",
    "demo --by-time": "damaged files: tests/inputs/test_kinds_of_files.py",
}
TIMES = ("fps", "fps_mean", "first_frame_ms", "latency_ms_p50", "latency_ms_p95", "peak_mem_mib", "speedup")
SEEN: list[tuple] = []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, videos and masks."""
    folder = tmp_path_factory.mktemp("flags")
    davis_tree(folder / "davis", {"val": ["gamma", "delta"], "train": ["alpha"]}, frames=3)
    davis_tree(folder / "davis", {"val": ["gamma"]}, frames=1, year="2016")
    youtube_tree(folder / "youtube")
    davis_tree(folder / "davis_short", {"val": ["gamma"]}, frames=3, ids=(1,))
    for index in range(3):
        image, labels = frame(index, (1, 2))
        put_image(folder / f"frames/{index:05d}.jpg", image)
        write_mask(folder / f"masks/{index:05d}.png", labels)
    write_mask(folder / "first.png", frame(0, (1, 2))[1])
    write_mask(folder / "second.png", frame(0, (1,))[1])
    write_mask(folder / "binary.png", np.where(frame(0)[1] > 0, 255, 0).astype(np.uint8))
    (folder / "names.txt").write_text("dog\n")
    (folder / "small.py").write_text(f"model = {SEGMENTORS.example('STCN')!r}\ntest_dataset = dict(type='DavisDataset',"
                                     " data_root='davis')\ntest_session = dict(max_short_side=40)\n")
    for command in BASES:
        (folder / f"of_{command}.py").write_text("from pathlib import Path\nPath('out/loaded').touch()\n")
    save_checkpoint_file({"state_dict": build_segmentor(str(folder / "small.py"), seed=0).state_dict()},
                         folder / "small.pth")
    return folder


@pytest.fixture(autouse=True)
def in_that_place(place, monkeypatch):
    """Paths of the tables lie there."""
    monkeypatch.chdir(place)


@pytest.fixture(autouse=True)
def watched_models(monkeypatch):
    """Note what every step of a model is given, and in which form the model computes."""
    step = VOSSegmentor.step

    def noted(self, state, frame, prompt=None, **options):
        channels_last = any(not p.is_contiguous() for p in self.parameters() if p.dim() == 4)
        given = None if prompt is None else (prompt.ids, prompt.masks.sum().item(), prompt.correct)
        SEEN.append((tuple(frame.shape), frame.float().mean().item(), given, channels_last,
                     torch.is_autocast_enabled("cpu")))
        return step(self, state, frame, prompt, **options)

    monkeypatch.setattr(VOSSegmentor, "step", noted)
    monkeypatch.setattr("gc.collect", lambda *args: 0)  # most of the time of a short measurement


def module_of(command: str) -> Any:
    return import_module(f"vosplug.cli.{command.split()[0]}")


def written(command: str, argv: list[str]) -> list[Any]:
    """Status of a command, what its models saw, and the files that it wrote, without times and settings in them."""
    SEEN.clear()
    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    found: list[Any] = [module_of(command).main(argv)]
    for path in sorted(path for path in Path("out").rglob("*") if path.is_file()):
        known = without_times(json.loads(path.read_text())) if path.suffix == ".json" else digest(path)
        found.append((path.as_posix(), known))
    return [*found, *SEEN]


def without_times(numbers: Any, kept: tuple[str, ...] = ()) -> Any:
    """JSON without what differs from run to run, and of what repeats the settings what was asked of torch alone."""
    if not isinstance(numbers, dict):
        return numbers
    return {key: None if key == "stages_ms" else without_times(value, ("threads", "clock") * (key == "measured"))
            for key, value in numbers.items() if key not in TIMES and (not kept or key in kept)}


def digest(path: Path) -> str:
    return "" if path.suffix in (".mp4", ".csv") else hashlib.sha256(path.read_bytes()).hexdigest()


KNOWN: dict[tuple, list] = {}


def cases() -> list:
    """Pytest parameters: command, what is given anyway, the flag."""
    found = []
    for command, texts in FLAGS.items():
        for text in texts:
            before, _, flag = text.rpartition(" | ")
            found.append(pytest.param(command, before.split(), flag.split(), id=f"{command} {text}"))
    return found


@pytest.mark.parametrize("command, before, flag", cases())
def test_a_flag_changes_what_is_written(command, before, flag):
    key = (command, *before)
    if key not in KNOWN:
        KNOWN[key] = written(command, [*BASES[command], *before])
    now = written(command, [*BASES[command], *before, *flag])
    assert now[0] == 0 and now != KNOWN[key]


@pytest.mark.parametrize("command, flag, words", [pytest.param(command, flag, words, id=f"{command} {flag}")
                                                  for command, flags in REFUSED.items()
                                                  for flag, words in flags.items()])
def test_a_flag_without_a_use_is_refused(command, flag, words, capsys):
    assert written(command, [*BASES[command], *flag.split()]) == [2]
    assert words in capsys.readouterr().err


def test_a_command_writes_twice_the_same():
    for command, argv in BASES.items():
        KNOWN[(command,)] = written(command, argv)
        assert KNOWN[(command,)] == written(command, argv)


def test_every_flag_is_in_a_table():
    texts = [(command, text.rpartition(" | ")[2]) for table in (FLAGS, REFUSED) for command in table
             for text in table[command]]
    asked = {f"{command.split()[0]} {text.split()[0]}" for command, text in texts}
    known = {f"{command.split()[0]} {action.option_strings[0]}" for command in BASES
             for action in module_of(command).build_parser()._actions
             if action.option_strings and action.dest != "help"}
    assert known - asked == set(UNSEEN) and asked <= known
