# Table 4: no positions, the last frame alone.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(position=dict(type="NoPosition")), memory=dict(max_frames=1))
