# Table 4: no positions, one layer, the last frame alone.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=4)], position=dict(type="NoPosition")),
             memory=dict(max_frames=1))
