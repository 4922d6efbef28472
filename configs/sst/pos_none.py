# Table 4: no positions.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(position=dict(type="NoPosition")))
