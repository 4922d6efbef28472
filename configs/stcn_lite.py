# The model that vosplug ships: a small STCN on EfficientNet-lite0 with ImageNet weights, trained on synthetic clips.
_base_ = ["_base_/runtime.py", "_base_/stcn_lite_model.py", "_base_/schedules/small_from_scratch.py"]
data_root = "data/synthetic/davis"
train_dataloader = dict(dataset=dict(type="SyntheticClips", size=(160, 160), max_objects=2), batch_size=4,
                        num_workers=1)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"key_encoder.backbone": dict(lr_mult=0.1)}))
curriculum = [dict(begin=0.5, length=5, batch_size=3)]
default_hooks = dict(ema=dict(momentum=0.004))
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=360, amp="auto", channels_last=True)
