# Table 6: three layers of grid attention.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="GridAttention")] * 3))
