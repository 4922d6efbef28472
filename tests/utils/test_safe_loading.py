"""A checkpoint that runs code when it is unpickled does not run, wherever in a model it is named."""

import importlib.util
import os

import pytest
import torch
from mmengine.model import BaseModule, PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from torch import nn

from vosplug.models.segmentors.base import VOSSegmentor
from vosplug.registry import BACKBONES, MODELS, SEGMENTORS
from vosplug.utils.errors import CheckpointError, ConfigError
from vosplug.utils.safe_loading import loads_a_file, safe_loading

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec("mmdet") is None or importlib.util.find_spec("mmcv") is None,
                                 reason="mmdet is not installed")


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@BACKBONES.register_module("LoadingProbe")
class LoadingProbe(BaseModule):
    """A part that is mmengine's module, has another one inside, and may load while it is built."""

    def __init__(self, inner: dict | None = None, pretrained: str | None = None, eager: str | None = None,
                 parts: list | None = None, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 1, 1)
        self.plain = nn.Sequential()
        for part in [*([inner] if inner else []), *(parts or [])]:
            self.plain.append(MODELS.build(part))
        if pretrained is not None:
            self.init_cfg = dict(type="Pretrained", checkpoint=pretrained)
        if eager is not None:
            load_checkpoint(self, eager, map_location="cpu")


@SEGMENTORS.register_module("LoadingSegmentor")
class LoadingSegmentor(VOSSegmentor):
    """A segmentor of such a part; its stages are not called."""

    def __init__(self, backbone: dict, init_cfg=None):
        super().__init__(preprocessor=dict(type="VOSPreprocessor"), init_cfg=init_cfg)
        self.backbone = BACKBONES.build(backbone)


for stage in LoadingSegmentor.__abstractmethods__:
    setattr(LoadingSegmentor, stage, None)
LoadingSegmentor.__abstractmethods__ = frozenset()


@pytest.fixture
def evil(tmp_path):
    """A checkpoint, and the folder that it makes when it is unpickled."""
    path, executed = tmp_path / "evil.pth", tmp_path / "executed"
    torch.save({"state_dict": {"conv.weight": torch.zeros(1, 1, 1, 1), "x": Payload(executed)}}, path)
    yield str(path)
    assert not executed.exists(), "the file was unpickled"


def pretrained(path, **more):
    return dict(type="Pretrained", checkpoint=path, **more)


def probe(**options):
    return dict(type="LoadingProbe", **options)


def test_without_protection_the_file_runs(tmp_path):
    """The attack is one: mmengine's loader unpickles what torch refuses to read."""
    torch.save({"state_dict": Payload(tmp_path / "executed")}, tmp_path / "evil.pth")
    model = LoadingProbe(init_cfg=pretrained(str(tmp_path / "evil.pth")))
    with pytest.raises(Exception):  # noqa: B017 (what was unpickled is no state dict)
        model.init_weights()
    assert (tmp_path / "executed").is_dir()


CONFIGS = {
    "the segmentor": lambda path: dict(backbone=probe(), init_cfg=pretrained(path)),
    "a part": lambda path: dict(backbone=probe(init_cfg=pretrained(path))),
    "a part of a part": lambda path: dict(backbone=probe(inner=probe(init_cfg=pretrained(path)))),
    "three deep": lambda path: dict(backbone=probe(inner=probe(inner=probe(init_cfg=pretrained(path))))),
    "a list of parts": lambda path: dict(backbone=probe(parts=[probe(), probe(init_cfg=pretrained(path))])),
    "a list of initialisers": lambda path: dict(backbone=probe(
        init_cfg=[dict(type="Constant", layer="Conv2d", val=0), pretrained(path)])),
    "an override": lambda path: dict(backbone=probe(
        init_cfg=dict(type="Constant", layer="Conv2d", val=0, override=pretrained(path, name="conv")))),
    "the class": lambda path: dict(backbone=probe(init_cfg=dict(type=PretrainedInit, checkpoint=path))),
    "a scoped name": lambda path: dict(backbone=probe(init_cfg=dict(type="mmengine.Pretrained", checkpoint=path))),
    "a prefix": lambda path: dict(backbone=probe(init_cfg=pretrained(path, prefix="backbone."))),
    "another type with a checkpoint": lambda path: dict(backbone=probe(init_cfg=dict(type="Mine", checkpoint=path))),
    "an option that stands for it": lambda path: dict(backbone=probe(pretrained=path)),
    "such an option further down": lambda path: dict(backbone=probe(inner=probe(pretrained=path))),
}


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
def test_it_is_refused_when_the_model_is_built(evil, make):
    with pytest.raises(ConfigError, match=r"Pretrained.*can run code: use load_from of the config") as caught:
        MODELS.build(dict(type="LoadingSegmentor", **make(evil)))
    assert "\n" not in str(caught.value)


def test_the_message_says_where(evil):
    config = dict(type="LoadingSegmentor", backbone=probe(parts=[probe(), probe(init_cfg=pretrained(evil))]))
    with pytest.raises(ConfigError, match=r"^backbone\.parts\.1\.init_cfg of type 'Pretrained'"):
        MODELS.build(config)
    with pytest.raises(ConfigError, match=r"^LoadingProbe: init_cfg of type 'Pretrained', or an option"):
        MODELS.build(dict(type="LoadingSegmentor", backbone=probe(pretrained=evil)))


def test_a_part_that_loads_while_it_is_built_reads_safely(evil, tmp_path):
    with pytest.raises(CheckpointError, match="refused: it contains Python objects that would run code"):
        MODELS.build(dict(type="LoadingSegmentor", backbone=probe(eager=evil)))
    torch.save({"state_dict": {"conv.weight": torch.full((1, 1, 1, 1), 5.0)}}, tmp_path / "good.pth")
    model = MODELS.build(dict(type="LoadingSegmentor", backbone=probe(eager=str(tmp_path / "good.pth"))))
    assert model.backbone.conv.weight.item() == 5.0


def test_other_initialisers_work():
    model = MODELS.build(dict(type="LoadingSegmentor", backbone=probe(
        init_cfg=[dict(type="Constant", layer="Conv2d", val=3.0)])))
    model.init_weights()
    assert model.backbone.conv.weight.item() == 3.0


def test_outside_of_vosplug_mmengine_is_as_it_was(tmp_path):
    before = CheckpointLoader.__dict__["load_checkpoint"]
    with safe_loading():
        with safe_loading():
            pass
        assert CheckpointLoader.__dict__["load_checkpoint"] is not before
    with pytest.raises(ConfigError), safe_loading():
        raise ConfigError("x")
    assert CheckpointLoader.__dict__["load_checkpoint"] is before
    torch.save({"a": torch.ones(1)}, tmp_path / "good.pth")
    assert CheckpointLoader.load_checkpoint(str(tmp_path / "good.pth"))["a"] == 1


def test_what_loads_a_file():
    assert not any(map(loads_a_file, (None, {}, [], "Pretrained", dict(type="Kaiming"), [dict(type="Constant")])))
    assert loads_a_file([dict(type="Kaiming"), dict(type="Pretrained")])


@needs_mmdet
@pytest.mark.parametrize("options", [dict(pretrained="{}"), dict(init_cfg=dict(type="Pretrained", checkpoint="{}"))])
def test_parts_of_mmdet(evil, options):
    options = {key: evil if value == "{}" else {**value, "checkpoint": evil} for key, value in options.items()}
    part = dict(type="mmdet.ResNet", depth=18, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,), **options)
    with pytest.raises(ConfigError, match="Pretrained"):
        MODELS.build(part)
    with pytest.raises(ConfigError, match="Pretrained"):
        MODELS.build(dict(type="LoadingSegmentor", backbone=probe(inner=part)))


@needs_mmdet
def test_a_part_of_mmdet_that_reads_a_checkpoint_in_its_own_way(evil):
    """Its ``init_weights`` looks at ``init_cfg.checkpoint``, whatever the type is."""
    with pytest.raises(ConfigError, match="Pretrained"):
        MODELS.build(dict(type="mmdet.SwinTransformer", depths=(1,), num_heads=(1,), embed_dims=8, strides=(4,),
                          out_indices=(0,), init_cfg=dict(type="Any", checkpoint=evil)))
