# Filter response norm instead of layer norm and ReLU, as public defaults name it.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(norm=dict(type="FilterResponseNorm"), activation=dict(type="FilterResponseNorm")))
