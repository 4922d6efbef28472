# Filter response norm instead of layer norm and ReLU, as public defaults name it.
_base_ = ["../sst_r101.py"]
model = dict(matching_head=dict(norm=dict(type="FilterResponseNorm"), activation=dict(type="FilterResponseNorm")))
