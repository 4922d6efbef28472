"""Checkpoints as mmdet's own COCO configs make them: 80 classes, 100 proposals, ResNet-50, random weights."""

from pathlib import Path

import pytest
import torch

from vosplug.cli.convert_checkpoint import main as convert
from vosplug.utils.checkpoint import load_checkpoint_file

CONFIGS = {"queryinst": "queryinst/queryinst_r50_fpn_1x_coco.py",
           "sparse_rcnn": "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py",
           "mask_rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"}


def coco_weights(family: str) -> dict:
    """The state dict of the detector that mmdet's own config describes."""
    mmdet = pytest.importorskip("mmdet", reason="mmdet is not installed")
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    path = Path(mmdet.__file__).parent / ".mim" / "configs" / CONFIGS[family]
    if not path.is_file():
        pytest.skip(f"this mmdet comes without its configs ({path.name})")
    model = Config.fromfile(path).model
    model.backbone.init_cfg = None  # it names a file of the network
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(model).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("family", CONFIGS)
def test_coco_weights_become_a_start(family, tmp_path, root, capsys):
    pytest.importorskip("mmcv.ops", reason="mmcv's compiled operators are not installed")
    source, target = tmp_path / "coco.pth", tmp_path / "start.pth"
    weights = coco_weights(family)
    torch.save({"meta": {"mmdet_version": "2.16.0", "CLASSES": ("person",) * 80, "epoch": 12}, "state_dict": weights},
               source)
    assert convert([family, str(source), str(target), "--config", str(root / "configs" / "efficientvis_r50.py")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    state = load_checkpoint_file(target)["state_dict"]
    backbone = [name for name in weights if name.startswith(("backbone.", "neck."))]
    own = [name for name in state if name.startswith(("backbone.", "neck."))]
    assert all(torch.equal(state[name], weights[name]) for name in own) and len(own) >= len(backbone)
    if family == "mask_rcnn":
        left = len([name for name in weights if name.startswith(("rpn_head.", "roi_head."))])
        assert f"{len(weights) - left} of {len(weights)} weights converted" in said
        return
    assert state["queries.embeddings.weight"].shape == (10, 256)
    assert torch.equal(state["queries.embeddings.weight"], weights["rpn_head.init_proposal_features.weight"][:10])
    assert "80 classes in the source, 40 in the model" in said and "unknown" not in said
    assert torch.equal(state["interactions.5.head.ffn.2.weight"], weights["roi_head.bbox_head.5.ffn.layers.1.weight"])
    fresh = 6 * (2 if family == "sparse_rcnn" else 4)  # weight and bias of the classes, and of the mask logits
    assert f"{len(weights) - fresh} of {len(weights)} weights converted" in said
