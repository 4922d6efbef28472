# Table 6: two layers of strided attention.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="StridedAttention", h=4)] * 2))
