# The last five frames.
_base_ = ["../sst_r101.py"]
model = dict(memory=dict(max_frames=5))
