# EfficientVIS with clips of 18 frames (Table 1c), trained on pairs of clips.
_base_ = ["efficientvis_r50_t9.py"]
model = dict(clip_length=18)
clip = dict(length=18)
