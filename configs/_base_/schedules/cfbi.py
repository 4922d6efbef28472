# CFBI and SST on YouTube-VOS. The trainer is not public; values are those of CFBI's paper (section 4) and config, of a
# public descendant's trainer, and of SST's paper (section 4) and default options. 8 clips are drawn on 4 GPUs.
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, nesterov=True, weight_decay=1.5e-4),  # decay of everything
    clip_grad=dict(max_norm=5.0),
    amp=None)
param_scheduler = [dict(type="WarmupPolyLR", least=0.0, floor=1e-5, power=0.9, warmup=1_000)]
train_cfg = dict(max_iters=100_000, val_interval=10_000)
# A reference frame, the frame before the first one that counts, and three that count, 1 to 3 annotated frames apart.
clip = dict(length=5, max_skip=3)
data_root = "data"
train_dataloader = dict(
    dataset=dict(
        type="VideoClips", jump_rule="cfbi", transforms="cfbi", size=465, max_objects=5, min_pixels=101,
        complete_first=True, first_pixels=201, retries=20,
        videos=dict(type="YouTubeVOSDataset", data_root=f"{data_root}/YouTubeVOS", year=2019, split="train")),
    batch_size=2, num_workers=4)
val_dataset = test_dataset = dict(type="DavisDataset", data_root=f"{data_root}/DAVIS", year="2017", split="val")
val_evaluator = test_evaluator = dict(type="DavisMetric")
test_session = dict(max_long_side=1040)
