# A small FRTM on synthetic clips that are made on the fly. The frozen backbone needs ImageNet weights:
#   --cfg-options model.backbone.weights=mobilenet_v2.pth
# Frames of a clip are close together or far apart: their masks overlap from not at all to nearly fully.
_base_ = ["_base_/runtime.py", "_base_/frtm_small_model.py", "_base_/schedules/small_from_scratch.py"]
data_root = "data/synthetic/davis"
clips = dict(type="SyntheticClips", size=(160, 160), max_objects=2)
train_dataloader = dict(
    dataset=dict(type="MixedClips", datasets=[dict(options=dict(motion=0.3), **clips),
                                              dict(options=dict(motion=3.0), **clips)]),
    batch_size=4, num_workers=1)
clip = dict(length=3, max_skip=3)
curriculum = []
train_cfg = dict(max_iters=1_500)
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=240, amp=None)
