# A check that the model can learn: six real videos, tested on themselves. The first stage has masks of 28x28, the
# second of 40x40, which thin legs need.
#   python tools/train.py efficientvis_small_overfit --data-root VIS_MINI
#   python tools/test.py efficientvis_small_overfit work_dirs/efficientvis_small_overfit/final.pth --data-root VIS_MINI
_base_ = ["_base_/runtime.py", "_base_/efficientvis_small_model.py", "_base_/schedules/efficientvis_small.py"]
data_root = "data/vis_mini"
model = dict(num_classes=40, interaction=dict(mask_head=dict(size=20)))
train_dataloader = dict(
    dataset=dict(type="VISClips", size=(120, 208), flip=0.0, pairs=True, cache_mib=256,
                 videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train")),
    batch_size=2, num_workers=1)
clip = dict(length=4, max_skip=1)
stages = [
    dict(name="coarse", max_iters=1_000, model=dict(interaction=dict(mask_head=dict(size=14)))),
    dict(name="fine", max_iters=250, optim_wrapper=dict(optimizer=dict(lr=5e-4))),
]
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="train")
test_evaluator = dict(type="YouTubeVISMetric")
test_session = dict(size=(120, 208))
