# Table 6: two layers of grid attention.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="GridAttention")] * 2))
