# A small SST on synthetic clips that are made on the fly: needs no data set and no GPU. Its backbone is not trained:
# start it from ImageNet weights with --cfg-options model.encoder.backbone.weights=mobilenet_v2.pth
_base_ = ["_base_/runtime.py", "_base_/sst_small_model.py", "_base_/schedules/slots_small.py"]
data_root = "data/synthetic/davis"
train_dataloader = dict(dataset=dict(type="SyntheticClips", size=(129, 129), max_objects=2), batch_size=4,
                        num_workers=1)
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=241, channels_last=True)
train_cfg = dict(max_iters=3_000)
