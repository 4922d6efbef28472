"""With one frame per clip, EfficientVIS is mmdet's QueryInst."""

import pytest
import torch

from vosplug.converters import QueryInstConverter
from vosplug.registry import VIS_SEGMENTORS
from vosplug.utils.checkpoint import load_weights

QUERIES, CLASSES, STAGES = 7, 4, 3


def ancestor(depth: int, channels: int, stages: int = STAGES, queries: int = QUERIES):
    """A QueryInst of mmdet with random weights, in evaluation mode."""
    pytest.importorskip("mmcv.ops", reason="mmcv's compiled operators are not installed")
    models = pytest.importorskip("mmdet.models", reason="mmdet is not installed")
    assert models
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    widths = [64, 128, 256, 512] if depth == 18 else [256, 512, 1024, 2048]

    def dynamic(size, **options):
        return dict(type="DynamicConv", in_channels=channels, feat_channels=8, out_channels=channels,
                    input_feat_shape=size, act_cfg=dict(type="ReLU", inplace=True), norm_cfg=dict(type="LN"), **options)

    def roi(size):
        return dict(type="SingleRoIExtractor", roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=2),
                    out_channels=channels, featmap_strides=[4, 8, 16, 32])

    box = dict(type="DIIHead", num_classes=CLASSES, num_ffn_fcs=2, num_heads=4, num_cls_fcs=1, num_reg_fcs=3,
               feedforward_channels=32, in_channels=channels, dropout=0.0, dynamic_conv_cfg=dynamic(7),
               ffn_act_cfg=dict(type="ReLU", inplace=True), loss_bbox=dict(type="L1Loss", loss_weight=5.0),
               loss_iou=dict(type="GIoULoss", loss_weight=2.0),
               loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
               bbox_coder=dict(type="DeltaXYWHBBoxCoder", clip_border=False, target_means=[0.0] * 4,
                               target_stds=[0.5, 0.5, 1.0, 1.0]))
    mask = dict(type="DynamicMaskHead", dynamic_conv_cfg=dynamic(14, with_proj=False), num_convs=2,
                num_classes=CLASSES, roi_feat_size=14, in_channels=channels, conv_kernel_size=3,
                conv_out_channels=channels, class_agnostic=False, norm_cfg=dict(type="BN"),
                upsample_cfg=dict(type="deconv", scale_factor=2),
                loss_mask=dict(type="DiceLoss", loss_weight=8.0, use_sigmoid=True, activate=False, eps=1e-5))
    torch.manual_seed(0)
    config = ConfigDict(
        type="QueryInst", data_preprocessor=dict(type="DetDataPreprocessor"),
        backbone=dict(type="ResNet", depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
                      norm_cfg=dict(type="BN"), norm_eval=True, style="pytorch"),
        neck=dict(type="FPN", in_channels=widths, out_channels=channels, start_level=0, add_extra_convs="on_input",
                  num_outs=4),
        rpn_head=dict(type="EmbeddingRPNHead", num_proposals=queries, proposal_feature_channel=channels),
        roi_head=dict(type="SparseRoIHead", num_stages=stages, stage_loss_weights=[1] * stages,
                      proposal_feature_channel=channels, bbox_roi_extractor=roi(7), mask_roi_extractor=roi(14),
                      bbox_head=[box] * stages, mask_head=[mask] * stages),
        train_cfg=None, test_cfg=dict(rpn=None, rcnn=dict(max_per_img=queries, mask_thr_binary=0.5)))
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(config)
    model.init_weights()
    unlike_their_start(model)
    return model.eval()


def unlike_their_start(model) -> None:
    """Give norms, biases and start boxes values of their own, so that a mix-up of weights shows."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.dim() == 1 and value.is_floating_point():
            spread = torch.rand_like(value)
            value.data.copy_(0.7 + 0.6 * spread if name.endswith(("weight", "running_var")) else spread * 0.2 - 0.1)
    for head in model.roi_head.bbox_head:  # small offsets, as of a trained model: boxes stay near the frame
        head.fc_reg.weight.data.mul_(0.1)
    boxes = model.rpn_head.init_proposal_bboxes.weight
    boxes.data.copy_(torch.rand_like(boxes) * 0.5 + 0.25)


def descendant(depth: int, channels: int, stages: int = STAGES, queries: int = QUERIES):
    """The EfficientVIS of the same sizes: T = 1 by its input, still-image convolution, neutral attention over time."""
    still = dict(type="StillImageDynamicConv", hidden=8)
    return VIS_SEGMENTORS.build(dict(
        type="EfficientVIS", preprocessor=dict(type="VISPreprocessor", divisor=32), num_classes=CLASSES,
        backbone=dict(type="ResNet", depth=depth, widths=(64, 128, 256, 512)), neck=dict(type="FPN", channels=channels),
        queries=dict(type="TrackletQueries", num_queries=queries), num_interactions=stages, clip_length=1,
        interaction=dict(attention=dict(type="FactorisedAttention", heads=4),
                         head=dict(type="TrackletHead", ffn_channels=32, dynamic_conv=still),
                         mask_head=dict(type="TrackletMaskHead", convs=2, norm=dict(type="BN"), dynamic_conv=still))))


def stages_of(model, images: torch.Tensor, size: tuple[int, int]) -> list[dict]:
    """Class logits, boxes and mask logits of every stage of mmdet's model."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import bbox2roi

    samples = [DetDataSample(metainfo=dict(img_shape=size)) for _ in images]
    metas = [s.metainfo for s in samples]
    features = model.extract_feat(images)
    start = model.rpn_head.predict(features, samples)
    boxes, queries = [r.bboxes for r in start], torch.stack([r.features for r in start])
    found = []
    for stage in range(model.roi_head.num_stages):
        result = model.roi_head._bbox_forward(stage, features, bbox2roi(boxes), queries, metas)
        boxes, queries = result["detached_proposals"], result["object_feats"]
        masks = model.roi_head._mask_forward(stage, features, bbox2roi(boxes), result["attn_feats"])["mask_preds"]
        found.append(dict(logits=result["cls_score"], boxes=torch.stack(boxes), queries=queries,
                          masks=masks.unflatten(0, (len(images), -1))))
    return found


def differences(depth: int, channels: int, images: torch.Tensor, size: tuple[int, int], **options) -> dict[str, float]:
    """Largest difference of any stage, by output; boxes, whose rounding grows with the frame, in shares of it."""
    theirs, ours = ancestor(depth, channels, **options), descendant(depth, channels, **options)
    converter = QueryInstConverter()
    result = converter.fit(converter.convert(theirs.state_dict()), ours)
    assert not result.unknown and not result.dropped
    assert all(".attention.temporal." in name for name in result.kept)
    load_weights(ours, result.state)
    ours.train()  # masks of every stage; all norms with running statistics stay as in evaluation
    for module in ours.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        expected = stages_of(theirs, images, size)
        clip = images[:, None]
        sizes = torch.tensor([size] * len(images))
        outputs = ours.interact(ours.encode(clip), ours.initial_queries(len(clip)), sizes, 1)
    assert len(outputs) == len(expected)
    scale = torch.tensor([size[1], size[0]] * 2)
    largest: dict[str, float] = {}
    for output, stage in zip(outputs, expected, strict=True):
        for name, value in stage.items():
            found = getattr(output, name)[:, 0]
            assert found.shape == value.shape and value.std() > 1e-3, name
            difference = (found - value).abs() / (scale if name == "boxes" else 1)
            largest[name] = max(largest.get(name, 0.0), float(difference.max()))
    return largest


def test_every_stage_equals_queryinst():
    torch.manual_seed(1)
    worst = differences(18, 16, torch.randn(2, 3, 64, 96), (61, 90))
    assert max(worst.values()) < 1e-4, worst


@pytest.mark.slow
@pytest.mark.shared
def test_every_stage_equals_queryinst_on_real_frames(shared):
    import cv2

    paths = sorted((shared / "data" / "vis_mini").rglob("*.jpg"))[:2]
    assert len(paths) == 2
    model = descendant(50, 64, stages=6, queries=20)
    pictures = [cv2.resize(cv2.imread(str(p))[..., ::-1], (320, 180)) for p in paths]
    images = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1) for p in pictures])
    frames, _ = model.data_preprocessor.frames(images)
    worst = differences(50, 64, frames, (180, 320), stages=6, queries=20)
    print(worst)
    assert max(worst.values()) < 1e-4, worst
