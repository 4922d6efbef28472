# Table 4: no positions, the last frame alone.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(position=dict(type="NoPosition")), memory=dict(max_frames=1))
