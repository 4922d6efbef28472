# Distillation without labels: 100,000 iterations on clips of still images, 130,000 on DAVIS and YouTube-VOS, 16 clips
# of five frames each (2 GPUs, 8 clips each). Rates are AOT's, as the paper gives none. Masks of first frames alone are
# read; clips are merged where all frames share one mask, which is where images stand still.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=0.07),
    clip_grad=dict(max_norm=5.0),
    no_decay=True,
    paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.19), "conv_out": dict(decay_mult=0.0)}),
    amp="auto")
param_scheduler = [dict(type="WarmupPolyLR", least=2e-5, power=0.9, warmup=0.05)]
train_cfg = dict(max_iters=130_000, val_interval=13_000)
clip = dict(length=5, max_skip=12)
data_root = "data"
average = dict(ema=dict(momentum=1e-4, gamma=9))
static_sets = [
    dict(type="StaticImageClips", data_root=f"{data_root}/static/{folder}", layout=layout)
    for folder, layout in (("fss", "FSS-1000"), ("DUTS-TR", "DUTS"), ("DUTS-TE", "DUTS"), ("ecssd", "ECSSD"),
                           ("BIG", "BIG"), ("HRSOD", "HRSOD"))]
videos = dict(type="UnlabelledClips", max_objects=10, min_pixels=101, retries=20)
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
youtube_vos = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2019)
train_dataloader = dict(
    dataset=dict(
        type="MixedClips", repeats=[5, 1], each=dict(size=465, transforms="deaot"),
        datasets=[dict(videos=dict(split="train", **davis), **videos),
                  dict(videos=dict(split="train", **youtube_vos), skip_unit=4, **videos)]),
    batch_size=8, num_workers=4)
val_dataset = test_dataset = dict(split="val", **davis)
val_evaluator = test_evaluator = dict(type="DavisMetric")
test_session = dict(max_long_side=1040)
stages = [
    dict(name="static", max_iters=100_000, task=dict(feedback="teacher"), model=dict(labels_in_memory=1.0),
         train_dataloader=dict(dataset=dict(
             type="MergedClips", probability=1.0, max_objects=10, min_pixels=101,
             dataset=dict(type="MixedClips", each=dict(size=465, transforms="deaot"), datasets=static_sets,
                          repeats=[1, 1, 1, 1, 5, 5]))),
         optim_wrapper=dict(optimizer=dict(lr=4e-4, weight_decay=0.03),
                            paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.145)})),
         train_cfg=dict(val_interval=10_000), default_hooks=average),
    dict(name="main", model=dict(labels_in_memory=0.5), default_hooks=average),
]
