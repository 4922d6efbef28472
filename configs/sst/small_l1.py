# Table 4: sinusoidal positions, one layer.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=4)]))
