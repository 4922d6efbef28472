# AOT and DeAOT: static images, then videos; each 100,000 iterations of 16 clips of five frames (4 GPUs, 4 clips each).
# Rates rise from the least one in 5% and fall back to it by a power; the backbone's are least + a tenth of the distance
# of the others'. What stands outside of the stages is that of the second one. The average of the weights is published.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=0.07),
    clip_grad=dict(max_norm=5.0),
    no_decay=True,
    paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.19), "conv_out": dict(decay_mult=0.0)}),
    amp="auto")
param_scheduler = [dict(type="WarmupPolyLR", least=2e-5, power=0.9, warmup=0.05)]
train_cfg = dict(max_iters=100_000, val_interval=10_000)
clip = dict(length=5, max_skip=12)
data_root = "data"
average = dict(ema=dict(momentum=1e-4, gamma=9))
image_losses = [dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, weight=0.5),
                dict(type="SoftJaccardLoss", weight=0.5)]
static_sets = [
    dict(type="StaticImageClips", data_root=f"{data_root}/static/{folder}", layout=layout)
    for folder, layout in (("fss", "FSS-1000"), ("DUTS-TR", "DUTS"), ("DUTS-TE", "DUTS"), ("ecssd", "ECSSD"),
                           ("BIG", "BIG"), ("HRSOD", "HRSOD"))]
# Distances of 1 to 12 frames in DAVIS, of 1 to 3 annotated ones in YouTube-VOS: 12 over 4.
videos = dict(type="VideoClips", jump_rule="aot", max_objects=10, min_pixels=101, complete_first=True, first_pixels=201,
              retries=20)
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
youtube_vos = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2019)
train_dataloader = dict(
    dataset=dict(
        type="MergedClips", probability=0.3, max_objects=10, min_pixels=101,
        dataset=dict(type="MixedClips", repeats=[5, 1], each=dict(size=465, transforms="aot"),
                     datasets=[dict(videos=dict(split="train", **davis), **videos),
                               dict(videos=dict(split="train", **youtube_vos), skip_unit=4, **videos)])),
    batch_size=4, num_workers=4)
val_dataset = test_dataset = dict(split="val", **davis)
val_evaluator = test_evaluator = dict(type="DavisMetric")
test_session = dict(max_long_side=1040, channels_last=True)
stages = [
    dict(name="static",
         model=dict(labels_in_memory=1.0,
                    losses=[*image_losses, dict(type="ReferenceLoss", losses=image_losses, until=0.1)]),
         train_dataloader=dict(dataset=dict(
             probability=1.0, dataset=dict(datasets=static_sets, repeats=[1, 1, 1, 1, 5, 5]))),
         optim_wrapper=dict(optimizer=dict(lr=4e-4, weight_decay=0.03),
                            paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.145)})),
         param_scheduler=[dict(type="WarmupPolyLR", least=2e-5, power=0.9, warmup=0.05)],
         default_hooks=average),
    dict(name="main", model=dict(labels_in_memory=0.5), default_hooks=average),
]
