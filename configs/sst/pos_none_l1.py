# Table 4: no positions, one layer.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=8)], position=dict(type="NoPosition")))
