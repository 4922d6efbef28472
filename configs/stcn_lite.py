# The model that vosplug ships: a small STCN on EfficientNet-lite0 with ImageNet weights, trained on synthetic clips.
_base_ = ["_base_/runtime.py", "_base_/stcn_lite_model.py", "_base_/schedules/small_from_scratch.py"]
data_root = "data/synthetic/davis"
train_dataloader = dict(
    dataset=dict(type="SyntheticClips", size=(160, 160), max_objects=2, replay=0.75, pool=400,
                 options=dict(scale=(0.15, 0.6))),
    batch_size=4, num_workers=1)
curriculum = [dict(begin=0.4, length=5, batch_size=3), dict(begin=0.8, length=8, batch_size=2)]
default_hooks = dict(ema=dict(momentum=0.004))
train_cfg = dict(max_iters=2_400)
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=360, amp="auto", channels_last=True)
