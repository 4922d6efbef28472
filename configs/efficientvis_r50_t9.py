# EfficientVIS with clips of 9 frames, trained on pairs of clips: correspondence learning (Table 1c, 1d, 1e).
_base_ = ["efficientvis_r50.py"]
model = dict(clip_length=9)
clip = dict(length=9)
train_dataloader = dict(dataset=dict(pairs=True))
