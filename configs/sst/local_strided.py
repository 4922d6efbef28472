# Table 6: a layer of local attention, then one of strided attention.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=8), dict(type="StridedAttention", h=8)]))
