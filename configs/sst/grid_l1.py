# Table 6: one layer of grid attention.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="GridAttention")]))
