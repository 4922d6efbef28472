# Table 1: three layers; count with --shape 465 465 --memory-frames 3.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="LocalAttention", h=8)] * 3))
