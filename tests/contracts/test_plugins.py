"""New parts, each one file outside of the tree and nothing else: contract tests, training and testing take them."""

import json
import re
import subprocess
import sys

import pytest
import torch

from vosplug import registry
from vosplug.cli import make_synthetic, test, train
from vosplug.registry import BACKBONES, FRAME_POLICIES, LOSSES, MATCHING_HEADS, SEGMENTORS, load_plugin

HEAD = '''
"""Attention to the newest frame alone, with a learnt projection; what is read has half of the channels."""
from torch import nn

from vosplug.models.matching_heads import MatchingHead
from vosplug.registry import MATCHING_HEADS


@MATCHING_HEADS.register_module(examples=[dict(), dict(scale=0.5)])
class NewestFrame(MatchingHead):
    """Read the newest entry; it does not say how it compares."""

    def __init__(self, key_channels: int, value_channels: int, scale: float = 1.0):
        super().__init__()
        self.out_channels, self.scale = value_channels // 2, scale
        self.ask = nn.Conv2d(key_channels, key_channels, 1)
        self.reduce = nn.Linear(value_channels, self.out_channels, bias=False)

    def forward(self, query, memory, rows, frame, **beside):
        entry = memory.latest
        cells = zip(rows.batch.tolist(), rows.slot.tolist())
        served = rows.select([slot < entry.objects and bool(entry.valid[b, slot]) for b, slot in cells])
        scores = self.scale * self.ask(query).flatten(2).transpose(1, 2) @ entry["key"]
        value = entry["value"][served.batch, served.slot].transpose(1, 2)
        read = self.reduce(scores.softmax(dim=-1)[served.batch].to(value.dtype) @ value).transpose(1, 2)
        out = read.new_zeros(len(rows), self.out_channels, read.shape[-1])
        return out.index_copy(0, rows.places(served), read).unflatten(-1, query.shape[-2:])
'''
LOSS = '''
"""Focal loss on masks."""
import torch.nn.functional as F

from vosplug.models.losses.base import PixelLoss
from vosplug.registry import LOSSES


@LOSSES.register_module(examples=[dict(), dict(gamma=1.0)])
class FocalPixels(PixelLoss):
    """(1 - p)^gamma times the cross-entropy, over all pixels that are not void."""

    name = "focal"

    def __init__(self, gamma: float = 2.0, weight: float = 1.0):
        super().__init__()
        self.gamma, self.weight = gamma, weight

    def pixels(self, logits, labels):
        entropy = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
        return ((1 - (-entropy).exp()) ** self.gamma * entropy).sum() / (labels != 255).sum().clamp(min=1)
'''
BACKBONE = '''
"""A chain of strided convolutions."""
from torch import nn

from vosplug.models.backbones import Backbone
from vosplug.registry import BACKBONES
from vosplug.structures import Level


@BACKBONES.register_module(examples=[dict(channels=4)])
class PlainChain(Backbone):
    """3x3 convolutions of stride 2; one more of stride 1 at each level."""

    def __init__(self, in_channels: int = 3, channels: int = 16):
        super().__init__()
        self.steps = ("c1", "c2", "c3", "c4")
        self.levels = {f"c{i}": Level(channels * i, 2**i) for i in (2, 3, 4)}
        self.conv1 = nn.Conv2d(in_channels, 2 * channels, 3, stride=2, padding=1)
        self.down = nn.ModuleDict({f"c{i}": nn.Conv2d(max(2, i - 1) * channels, i * channels, 3, stride=2, padding=1)
                                   for i in (2, 3, 4)})
        self.same = nn.ModuleDict({f"c{i}": nn.Conv2d(i * channels, i * channels, 3, padding=1) for i in (2, 3, 4)})
        self.finish()

    @property
    def stages(self):
        return [[self.conv1], *([self.down[name], self.same[name]] for name in self.levels)]

    def advance(self, step, x):
        return self.conv1(x).relu() if step == "c1" else self.same[step](self.down[step](x).relu()).relu()
'''
POLICY = '''
"""Frames that are dense by their number."""
from vosplug.registry import FRAME_POLICIES


@FRAME_POLICIES.register_module(examples=[dict(), dict(period=2)])
class EveryNth:
    """Every n-th frame is dense, whatever is kept of it."""

    def __init__(self, period: int = 3):
        self.period = period

    def decide(self, state, prompted, last):
        return {"dense": state.frame_index % self.period == 0}
'''
NAMES = {"head": "NewestFrame", "loss": "FocalPixels", "backbone": "PlainChain", "policy": "EveryNth",
         "segmentor": "Prototypes"}
KINDS = {"head": MATCHING_HEADS, "loss": LOSSES, "backbone": BACKBONES, "policy": FRAME_POLICIES,
         "segmentor": SEGMENTORS}
TRAIN = ["train_cfg.max_iters=2", "train_dataloader.dataset.size=(48,48)", "train_dataloader.batch_size=1",
         "train_dataloader.num_workers=0", "clip.length=3", "curriculum=[]", "optim_wrapper.amp=None"]
NARROW = ["model.value_encoder.backbone.widths=(8,16,16)", "model.key_encoder.fusion.channels=16",
          "model.value_encoder.fusion.channels=16", "model.value_encoder.fuser.channels=16",
          "model.decoder.compress_channels=16", "model.decoder.up_channels=(16,)"]
STCN_OF_PLUGINS = '''
_base_ = ["{root}/configs/stcn_small.py"]
model = dict(
    key_encoder=dict(backbone=dict(_delete_=True, type="PlainChain", channels=8)),
    matching_head=dict(_delete_=True, type="NewestFrame"), losses=[dict(type="FocalPixels")],
    sparse=dict(conv=dict(type="TripleSparseConv"), policy=dict(type="EveryNth", period=2)))
'''
SEGMENTOR_OF_PLUGIN = '''
_base_ = ["{root}/configs/stcn_small.py"]
model = dict(_delete_=True, type="Prototypes", preprocessor=dict(type="VOSPreprocessor"),
             backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=8,
                           widths=(4, 8, 8)), losses=[dict(type="DiceLoss")])
'''


def code_of_the_page(root):
    """The segmentor that docs/plugins.md shows."""
    found, = [block for block in re.findall(r"^```python\n(.*?)^```", (root / "docs" / "plugins.md").read_text(),
                                            flags=re.MULTILINE | re.DOTALL) if "class Prototypes" in block]
    return found


@pytest.fixture
def files(root, tmp_path):
    """Paths of the plugins by what they are."""
    written = {}
    for name, text in dict(head=HEAD, loss=LOSS, backbone=BACKBONE, policy=POLICY,
                           segmentor=code_of_the_page(root)).items():
        written[name] = tmp_path / f"plugin_{name}.py"
        written[name].write_text(text)
    return {name: str(path) for name, path in written.items()}


def test_the_segmentor_of_the_page_has_few_lines(root):
    body = code_of_the_page(root).split("class Prototypes")[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_the_page_names_every_kind_and_no_other(root):
    page = (root / "docs" / "plugins.md").read_text()
    kinds = page[page.index("## Kinds") : page.index("## A segmentor")]
    named = set(re.findall(r"`([A-Z_]+)`", kinds)) - {"MODELS", "KIND"}
    assert named == {name for name, value in vars(registry).items()
                     if isinstance(value, registry.Kind | registry.Registry) and name != "MODELS"}


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_is_usable_without_contract_tests(name, files, registries, tmp_path):
    """The same part registered with nothing but its class: it is built, and not tested."""
    path = tmp_path / "plugin_bare.py"
    with open(files[name]) as file:
        path.write_text(re.sub(r"register_module\((.*?)\)\n(?=class)", "register_module()\n", file.read(),
                               flags=re.DOTALL))
    load_plugin(files[name])
    config = KINDS[name].example(NAMES[name])
    KINDS[name]._members.pop(NAMES[name])
    KINDS[name].registry._module_dict.pop(NAMES[name])
    load_plugin(str(path))
    assert KINDS[name].examples(NAMES[name]) == [] and KINDS[name].role(NAMES[name]) == ""
    assert KINDS[name].build(config, key_channels=4, value_channels=6, in_channels=3) is not None


def test_contract_tests_take_plugins_by_their_examples(files, root, tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-q", "--no-header", "tests/contracts",
               "-k", " or ".join(NAMES.values())]
    done = subprocess.run([*command, *(word for path in files.values() for word in ("--plugin", path))], cwd=root,
                          capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    tests = {name: {line.split("::")[1].split("[")[0] for line in passed if NAMES[name] in line}
             for name in NAMES}
    assert {"test_matching_heads_read_any_memory", "test_an_object_without_memory_reads_zeros",
            "test_segmentors_go_with_every_memory_and_every_head"} < tests["head"]
    assert {"test_losses_read_the_record_of_a_clip",
            "test_losses_on_masks_fall_as_masks_get_better_and_ignore_void"} < tests["loss"]
    assert {"test_backbones_publish_their_levels",
            "test_backbones_compute_as_far_as_asked_and_go_on_from_there"} < tests["backbone"]
    assert {"test_frame_policies_decide_by_the_state_alone",
            "test_frame_policies_say_which_frames_are_dense"} < tests["policy"]
    assert {"test_any_size_and_number_of_objects", "test_loss_decreases_on_a_tiny_clip",
            "test_interleaved_videos_equal_videos_one_by_one"} < tests["segmentor"] and len(tests["segmentor"]) >= 18
    assert all("test_examples_build_and_unknown_options_are_refused" in names for names in tests.values())


@pytest.mark.parametrize("config, names, options", [
    pytest.param(STCN_OF_PLUGINS, ("head", "loss", "backbone", "policy"), NARROW, id="parts"),
    pytest.param(SEGMENTOR_OF_PLUGIN, ("segmentor",), [], id="segmentor")])
def test_commands_train_and_test_plugins(config, names, options, files, registries, root, tmp_path, capsys):
    assert make_synthetic.main([str(tmp_path / "data"), "--videos", "1", "--val", "1", "--size", "48", "64",
                                "--frames", "4", "--options", "textures=8"]) == 0
    path, work, scores = tmp_path / "of_plugins.py", tmp_path / "work", tmp_path / "scores.json"
    path.write_text(config.format(root=root))
    common = [word for name in names for word in ("--plugin", files[name])] + ["--device", "cpu"]
    options = ["--cfg-options", *TRAIN, *options]
    assert train.main([str(path), "--work-dir", str(work), *common, *options]) == 0, capsys.readouterr().err
    state = torch.load(work / "final.pth", weights_only=True)["state_dict"]
    assert {"matching_head.ask.weight", "key_encoder.backbone.same.c4.gate.weight"} <= set(state) \
        or "compare.weight" in state
    status = test.main([str(path), str(work / "final.pth"), "--data-root", str(tmp_path / "data" / "davis"), "--json",
                        str(scores), *common, *options])
    assert status == 0, capsys.readouterr().err
    assert 0 <= json.loads(scores.read_text())["J&F-Mean"] <= 1
