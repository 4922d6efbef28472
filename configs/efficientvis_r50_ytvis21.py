# EfficientVIS on YouTube-VIS 2021 (Table 3): 2,985 training videos, one clip on each of 4 GPUs, 746.25 iterations per
# epoch. Its videos have up to 84 frames, so clips come in pairs (section 4.1).
_base_ = ["efficientvis_r50.py"]
data_root = "data/youtube_vis_2021"
train_dataloader = dict(
    dataset=dict(pairs=True, videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train", year=2021)))
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid", year=2021)
param_scheduler = [dict(type="MultiStepLR", milestones=[20_149], gamma=0.1)]
train_cfg = dict(max_iters=24_626)
