"""A folder with everything that the commands read, all tiny, and ways to spoil it."""

import errno
import json
import os
import pickle
import resource
import shlex
import shutil
import signal
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.commands import command_module
from tests.inference.colour_segmentor import moving_squares
from vosplug.inference import OverlayVideoWriter, build_segmentor
from vosplug.inference.readers import Frame
from vosplug.registry import DATASETS, load_plugin
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

TINY_PARTS = Path(__file__).with_name("engine") / "tiny_parts.py"
CLIP = list(moving_squares(frames=4))
MODEL = "model = dict(type='TinySegmentor', width=4, preprocessor=dict(type='VOSPreprocessor'),\n" \
        "             losses=[dict(type='TinyCE')])\n"
SETS = "data_root = 'davis'\n" \
       "test_dataset = dict(type='DavisDataset', data_root=data_root)\n" \
       "test_evaluator = dict(type='DavisMetric')\n"
TRAINING = "optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))\n" \
           "train_cfg = dict(max_iters=6)\n" \
           "default_hooks = dict(checkpoint=dict(interval=2))\n"
TINY_CLIPS = "train_dataloader = dict(dataset=dict(type='TinyClips'), batch_size=2, num_workers=0)\n"
REAL_CLIPS = "train_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(\n" \
             "    type='VideoClips', size=32, videos=dict(type='DavisDataset', data_root=data_root, split='train')))\n"


@dataclass(frozen=True)
class Bad:
    """One bad input.

    Attributes:
        name: of the test.
        line: the command and its arguments; paths are relative to the folder of :func:`make_world`.
        says: pieces of the message.
        spoil: what is done to the folder before.
        status: exit status.
        keeps: patterns of files that have to be there afterwards, besides all that were there before.
        rewrites: files that may change.
        usage: the fault is one of syntax, which argparse tells in its own form.
    """

    name: str
    line: str
    says: tuple[str, ...]
    spoil: Callable[["World"], Any] = lambda world: None
    status: int = 2
    keeps: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    usage: bool = False


@dataclass
class World:
    """The folder that a command works in, and the means to patch and to undo."""

    folder: Path
    monkeypatch: Any
    undo: list[Callable[[], None]] = field(default_factory=list)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file, with its folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def restore(self) -> None:
        """Lift the limits of this process."""
        while self.undo:
            self.undo.pop()()


def make_world(folder: Path) -> Path:
    """Data sets, a video, masks, configs and weights in ``folder``."""
    load_plugin(str(TINY_PARTS))
    for split, names in (("train", ["one"]), ("val", ["one", "two"]), ("test-dev", ["hidden"])):
        path = folder / "davis" / "ImageSets" / "2017" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
    with OverlayVideoWriter(folder / "clip.mp4", fps=8) as writer:
        for t, (image, labels) in enumerate(CLIP):
            name = f"{t:05d}"
            writer.write(Frame(t, name, image), np.zeros_like(labels))
            write_image(folder / "images" / f"{name}.png", image)
            for video in ("one", "two", "hidden"):
                write_image(folder / "davis" / "JPEGImages" / "480p" / video / f"{name}.jpg", image)
                if video != "hidden" or t == 0:
                    write_mask(folder / "davis" / "Annotations" / "480p" / video / f"{name}.png", labels)
                if video != "hidden":
                    write_mask(folder / "pred" / video / f"{name}.png", labels)
    write_mask(folder / "first.png", CLIP[0][1])
    youtube(folder / "youtube")
    for name, text in (("tiny.py", MODEL + SETS), ("run.py", MODEL + TRAINING + TINY_CLIPS),
                       ("clips.py", MODEL + TRAINING + SETS + REAL_CLIPS), ("data_only.py", SETS)):
        (folder / name).write_text(text)
    state = build_segmentor(str(folder / "tiny.py"), seed=0).state_dict()
    save_checkpoint_file({"state_dict": state}, folder / "tiny.pth")
    wide = {key: torch.zeros(9, *value.shape) for key, value in state.items()}
    save_checkpoint_file({"state_dict": wide}, folder / "wide.pth")
    names = ("key_encoder.conv1.weight", "key_proj.key_proj.weight", "key_comp.weight", "decoder.pred.weight")
    save_checkpoint_file({name: torch.zeros(1) for name in names}, folder / "official.pth")
    return folder


def copied_world(template: Path, tmp_path: Path, monkeypatch: Any) -> Iterator[World]:
    """A copy of the folder, as the working folder; what a fixture yields."""
    place = tmp_path / "world"
    shutil.copytree(template, place)
    monkeypatch.chdir(place)
    made = World(place, monkeypatch)
    yield made
    made.restore()


def youtube(root: Path) -> None:
    """YouTube-VOS: in the video ``late`` the object 2 starts at the third frame."""
    videos = {}
    for name, start in (("early", 0), ("late", 2)):
        frames = [f"{5 * t:05d}" for t in range(4)]
        videos[name] = {"objects": {"1": {"category": "dog", "frames": frames},
                                    "2": {"category": "goblin", "frames": frames[start:]}}}
        for t, (image, labels) in enumerate(CLIP):
            write_image(root / "valid" / "JPEGImages" / name / f"{frames[t]}.jpg", image)
            if t in (0, start):
                shown = labels if start == t else np.where(labels == 1, 1, 0)
                write_mask(root / "valid" / "Annotations" / name / f"{frames[t]}.png", shown)
    (root / "valid" / "meta.json").write_text(json.dumps({"videos": videos}))


def run_line(line: str) -> int:
    """Run a command line in this process; return the exit status."""
    name, *arguments = shlex.split(line)
    try:
        return command_module(name).main(arguments)
    except SystemExit as caught:
        return caught.code


def contents(folder: Path) -> dict[str, int]:
    """Every file below ``folder`` with a checksum."""
    return {path.relative_to(folder).as_posix(): zlib.crc32(path.read_bytes())
            for path in sorted(folder.rglob("*")) if path.is_file()}


def check_good(lines: Iterable[str], capfd: Any) -> None:
    """What bad input spoils runs as it stands, without a word on standard error."""
    for line in lines:
        assert run_line(line) == 0, line
    assert not capfd.readouterr().err


def check_bad(bad: Bad, world: World, capfd: Any) -> None:
    """Run the line of a bad input: one clear line, the status it should have, and nothing that existed is lost."""
    bad.spoil(world)
    before = contents(world.folder)
    capfd.readouterr()
    try:
        status = run_line(bad.line)
    finally:
        world.restore()
    said = capfd.readouterr()
    lines = said.err.splitlines()
    if bad.usage:
        assert lines[0].startswith("usage: ") and "error: " in lines[-1], said.err
    elif bad.status in (130, 143):
        assert lines == ["interrupted" if bad.status == 130 else "terminated"]
    else:
        assert len(lines) == 1 and lines[0].startswith("error: "), said.err
    for piece in bad.says:
        assert piece in lines[-1], said.err
    assert status == bad.status and "Traceback" not in said.out
    after = contents(world.folder)
    lost = [path for path in before if after.get(path) != before[path] and path not in bad.rewrites]
    assert not lost
    assert not [path for path in after if path not in before and "/." in f"/{path}"], "something half-written is left"
    assert not [path for path in bad.keeps if path not in after]
    assert not (world.folder / "executed").exists()


# What spoils a world: each of these returns a function of it.


def both(*actions: Callable[[World], Any]) -> Callable[[World], None]:
    """Several faults, or steps on the way to one."""
    def act(world: World) -> None:
        for action in actions:
            action(world)
    return act


def text(path: str, content: str = "this is no such file\n") -> Callable[[World], None]:
    """A file with a text."""
    return lambda world: world.write(path, content)


def change(path: str, old: str, new: str) -> Callable[[World], None]:
    """Replace a piece of a text file, which has to be there."""
    def act(world: World) -> None:
        before = (world.folder / path).read_text()
        assert old in before
        world.write(path, before.replace(old, new))
    return act


def remove(path: str) -> Callable[[World], None]:
    """Remove a file or a folder."""
    def act(world: World) -> None:
        target = world.folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return act


def rename(path: str, name: str) -> Callable[[World], None]:
    """Give a file or a folder another name."""
    return lambda world: (world.folder / path).rename((world.folder / path).with_name(name))


def folder(path: str) -> Callable[[World], None]:
    """An empty folder; one that is there is emptied."""
    def act(world: World) -> None:
        shutil.rmtree(world.folder / path, ignore_errors=True)
        (world.folder / path).mkdir(parents=True)
    return act


def cut(path: str, share: float = 0.6) -> Callable[[World], None]:
    """Keep the first part of a file only."""
    def act(world: World) -> None:
        data = (world.folder / path).read_bytes()
        world.write(path, data[:int(share * len(data))])
    return act


def mask(path: str, labels: np.ndarray) -> Callable[[World], None]:
    """Another index PNG."""
    return lambda world: write_mask(world.folder / path, labels)


def picture(path: str, array: np.ndarray) -> Callable[[World], None]:
    """A PNG of whatever mode the array asks for: RGB, 8-bit grey, 16-bit grey."""
    def act(world: World) -> None:
        (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(world.folder / path)
    return act


def smoothed() -> np.ndarray:
    """A grey mask with soft edges, as interpolation leaves it."""
    return np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)


def empty_mp4() -> bytes:
    """A well-formed file without any track."""
    return b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + b"\0\0\0\x08free" + b"\0\0\0\x08mdat"


def huge_png() -> bytes:
    """A PNG whose header promises 50000 x 50000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(100)), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(chunk) - 4) + chunk +
                                            struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def malicious(path: str) -> Callable[[World], None]:
    """A checkpoint that makes the folder ``executed`` when something unpickles it."""
    return lambda world: torch.save({"state_dict": Payload(world.folder / "executed")}, world.folder / path)


def malicious_pickle(path: str) -> Callable[[World], None]:
    """As :func:`malicious`, a bare pickle of today's protocol, as other programs write it."""
    return lambda world: world.write(path, pickle.dumps({"state_dict": Payload(world.folder / "executed")}))


def earlier_run(world: World) -> None:
    """A training that has ended: run/iter_4.pth, run/iter_6.pth, run/final.pth."""
    assert run_line("train run.py --work-dir run --device cpu") == 0


def without_torchrun(world: World) -> None:
    """No variables of torchrun."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        world.monkeypatch.delenv(name, raising=False)


def no_room(size: int) -> Callable[[World], None]:
    """From now on the system refuses to let any file grow beyond ``size`` bytes."""
    def act(world: World) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        world.undo.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    return act


def full_disk(call: int = 1) -> Callable[[World], None]:
    """From the ``call``-th temporary file on, what is written arrives at a device that is always full."""
    def act(world: World) -> None:
        original, calls = tempfile.mkstemp, []

        def make(*args, **options):
            handle, name = original(*args, **options)
            calls.append(name)
            if len(calls) >= call:
                os.close(handle)
                handle = os.open("/dev/full", os.O_RDWR)
            return handle, name

        world.monkeypatch.setattr(tempfile, "mkstemp", make)
    return act


def interrupt(module: str, name: str, call: int = 1) -> Callable[[World], None]:
    """Ctrl-C at the ``call``-th call of ``module.name``."""
    return failing(module, name, KeyboardInterrupt(), call)


def terminate(module: str, name: str, call: int = 1) -> Callable[[World], None]:
    """SIGTERM at the ``call``-th call of ``module.name``, twice, as ``timeout`` sends it."""
    def send() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
    return at_call(module, name, send, call)


def failing(module: str, name: str, error: BaseException, call: int = 1) -> Callable[[World], None]:
    """The ``call``-th call of ``module.name`` raises ``error``."""
    def fail() -> None:
        raise error
    return at_call(module, name, fail, call)


def at_call(module: str, name: str, happens: Callable[[], None], call: int) -> Callable[[World], None]:
    """Before the ``call``-th call of ``module.name`` something happens."""
    def act(world: World) -> None:
        owner = import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        original, calls = getattr(owner, last), []

        def patched(*args, **options):
            calls.append(1)
            if len(calls) == call:
                happens()
            return original(*args, **options)

        world.monkeypatch.setattr(owner, last, patched)
    return act


def crashing_clip(*, killed: bool) -> Callable[[World], None]:
    """Clip 3 of TinyClips meets an error of the system, or the process that makes it is killed."""
    def act(world: World) -> None:
        clips = DATASETS.get("TinyClips")
        original = clips.__getitem__

        def make(self, request):
            if request.index != 3:
                return original(self, request)
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise PermissionError(errno.EACCES, "Permission denied", "clip.bin")

        world.monkeypatch.setattr(clips, "__getitem__", make)
    return act


def golden(world: World) -> None:
    """A manifest of a family for which there is no run, with its arrays."""
    spec = {"name": "toy", "inputs": {"file": "inputs"}, "hyperparameters": {"num_frames": 1}, "state_dict": {},
            "fill": {"checksum": 0}, "outputs": {}, "tolerance": {"float64": {"max_abs": 1, "max_rel_to_peak": 1}},
            "source": {"repository": "someone/toy"}}
    world.write("toy.json", json.dumps(spec))
    np.savez(world.folder / "toy.npz", a=np.zeros(1))
    np.savez(world.folder / "inputs.npz", a=np.zeros(1))
