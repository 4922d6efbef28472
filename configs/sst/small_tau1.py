# Table 5: the last frame alone.
_base_ = ["../sst_small.py"]
model = dict(memory=dict(max_frames=1))
