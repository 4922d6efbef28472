# A small EfficientVIS on synthetic clips that are made on the fly. As in the paper it starts from a detector of single
# frames (from random weights it learns much more slowly): train efficientvis_small_frames, convert its weights with
# tools/convert_checkpoint.py efficientvis, and set load_from. Tested on videos of the same kind:
#   python tools/make_synthetic.py data/synthetic_vis --videos 60 --val 60 --size 96 160 --frames 20 --seed 1 --options
#       classes=star,capsule,ring objects=1,2 parts=1,2 scale=0.3,0.6 late=0.3 leave=0.3 motion=2
#       textures=24 colour=0 noise=2 blur=0 distractors=0,0 occluder=0
_base_ = ["_base_/runtime.py", "_base_/efficientvis_small_model.py", "_base_/schedules/efficientvis_small.py"]
data_root = "data/synthetic_vis/youtube_vis"
train_dataloader = dict(
    dataset=dict(type="SyntheticVISClips", size=(96, 160), pairs=True, frames=16, replay=0.9, pool=256,
                 options=dict(classes=("star", "capsule", "ring"), objects=(1, 2), parts=(1, 2), scale=(0.3, 0.6),
                              late=0.3, leave=0.3, motion=2.0, textures=24, colour=0.0, noise=2.0, blur=0.0)),
    batch_size=2, num_workers=1)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=3_000)
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid")
test_evaluator = dict(type="YouTubeVISMetric")
test_session = dict(size=(96, 160), min_score=0.1)
