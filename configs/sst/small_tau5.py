# The last five frames.
_base_ = ["../sst_small.py"]
model = dict(memory=dict(max_frames=5))
