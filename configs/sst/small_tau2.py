# Table 5: the last two frames.
_base_ = ["../sst_small.py"]
model = dict(memory=dict(max_frames=2))
