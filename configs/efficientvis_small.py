# A small EfficientVIS that learns from scratch on a CPU, on a synthetic set: every part is an option of the large one.
#   python tools/make_synthetic.py data/synthetic --videos 60 --size 120 208 --frames 16 --val 12
_base_ = ["_base_/runtime.py"]
data_root = "data/synthetic/youtube_vis"
norm = dict(type="GN", channels_per_group=16)
dynamic_conv = dict(type="TemporalDynamicConv", hidden=16)
model = dict(
    type="EfficientVIS",
    num_classes=8,
    preprocessor=dict(type="VISPreprocessor", divisor=32),
    backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 2, 2), stem_channels=24, stem_kernel=5,
                  widths=(32, 64, 128), norm=norm),
    neck=dict(type="FPN", channels=64),
    queries=dict(type="TrackletQueries", num_queries=8),
    interaction=dict(
        attention=dict(type="FactorisedAttention", heads=4),
        head=dict(type="TrackletHead", ffn_channels=256, dynamic_conv=dynamic_conv),
        mask_head=dict(type="TrackletMaskHead", convs=2, norm=norm, size=10, dynamic_conv=dynamic_conv),
        roi=dict(type="PyramidRoIAlign", finest_scale=28)),
    num_interactions=3, clip_length=4, frame_chunk=8,
    linker=dict(type="QueryLinking", reinit_after=2))
train_dataloader = dict(
    dataset=dict(type="VISClips", size=(120, 208), flip=0.5, pairs=True, max_tracks=8, cache_mib=256,
                 videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train")),
    batch_size=2, num_workers=1)
clip = dict(length=4, max_skip=2)
channels_last = True
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0), no_decay=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, begin=0, end=60),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.05, begin=0.4),
]
train_cfg = dict(max_iters=2_000)
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid")
test_evaluator = dict(type="YouTubeVISMetric")
test_session = dict(size=(120, 208))
