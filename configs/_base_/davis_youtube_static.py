# Static images first (clips of three), then DAVIS and YouTube-VOS, as STCN and XMem train; tested on DAVIS val.
data_root = "data"
static_sets = [
    dict(type="StaticImageClips", data_root=f"{data_root}/static/{folder}", layout=layout)
    for folder, layout in (("fss", "FSS-1000"), ("DUTS-TR", "DUTS"), ("DUTS-TE", "DUTS"), ("ecssd", "ECSSD"),
                           ("BIG", "BIG"), ("HRSOD", "HRSOD"))]
davis = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017")
youtube_vos = dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2018)
train_dataloader = dict(
    dataset=dict(
        type="MixedClips", repeats=[5, 1],
        datasets=[dict(type="VideoClips", videos=dict(split="train", **davis)),
                  dict(type="VideoClips", videos=dict(split="train", **youtube_vos), skip_unit=5)]),
    batch_size=4, num_workers=4)
val_dataset = test_dataset = dict(split="val", **davis)
val_evaluator = test_evaluator = dict(type="DavisMetric")
# Distances of frames grow, and shrink again at the end, as STCN and XMem train.
skips = [dict(begin=begin, max_skip=skip)
         for begin, skip in ((0.0, 5), (0.1, 10), (0.2, 15), (0.3, 20), (0.4, 25), (0.9, 5))]
stages = [
    dict(name="static", max_iters=300_000, clip=dict(length=3),
         train_dataloader=dict(dataset=dict(type="MixedClips", datasets=static_sets, repeats=[1, 1, 1, 1, 5, 5])),
         optim_wrapper=dict(optimizer=dict(lr=1e-5)),
         param_scheduler=[dict(type="MultiStepLR", milestones=[150_000], gamma=0.1)],
         train_cfg=dict(val_interval=50_000)),
    dict(name="main", curriculum=skips),
]
