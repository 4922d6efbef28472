# Distillation on a CPU, a few minutes: clips of 129x129, synthetic ones of two and three objects, and videos of which
# nothing but the mask of the clip's first frame is read. All but the warm-up are fractions of the run.
channels_last = True
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=2.0),
    no_decay=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, begin=0, end=30),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.02, begin=0.4),
]
train_cfg = dict(max_iters=500)
clip = dict(length=3, max_skip=5)
data_root = "data/synthetic/davis"
unlabelled = dict(type="UnlabelledClips", videos=dict(type="DavisDataset", data_root=data_root, split="train"),
                  transforms="aot", size=129, max_objects=3, min_pixels=60, cache_mib=256)
train_dataloader = dict(
    dataset=dict(
        type="MixedClips",
        datasets=[dict(type="SyntheticClips", size=(129, 129), max_objects=3, options=dict(objects=(2, 3), late=0.0)),
                  unlabelled]),
    weights=[0.7, 0.3], batch_size=2, num_workers=1)
curriculum = [dict(begin=0.7, length=4)]
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=240)
