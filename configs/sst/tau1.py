# Table 5: the last frame alone.
_base_ = ["../sst_r101.py"]
model = dict(memory=dict(max_frames=1))
