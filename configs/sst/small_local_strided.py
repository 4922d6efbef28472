# Table 6: a layer of local attention, then one of strided attention.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=4), dict(type="StridedAttention", h=4)]))
