# Two layers in which every cell sees every cell.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(attentions=[dict(type="DenseAttention")] * 2))
