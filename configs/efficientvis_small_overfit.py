# A check that the model can learn: six real videos, tested on themselves.
#   python tools/train.py efficientvis_small_overfit --data-root VIS_MINI
#   python tools/test.py efficientvis_small_overfit work_dirs/efficientvis_small_overfit/final.pth --data-root VIS_MINI
_base_ = ["_base_/runtime.py", "_base_/efficientvis_small_model.py", "_base_/schedules/efficientvis_small.py"]
data_root = "data/vis_mini"
model = dict(num_classes=40, interaction=dict(mask_head=dict(size=14)))
train_dataloader = dict(
    dataset=dict(type="VISClips", size=(120, 208), flip=0.0, pairs=True, cache_mib=256,
                 videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train")),
    batch_size=2, num_workers=1)
clip = dict(length=4, max_skip=1)
train_cfg = dict(max_iters=2_000)
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="train")
test_evaluator = dict(type="YouTubeVISMetric")
test_session = dict(size=(120, 208))
