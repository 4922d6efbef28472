# Two layers in which every cell sees every cell.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(attentions=[dict(type="DenseAttention")] * 2))
