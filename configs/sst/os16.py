# Output stride 16, as CFBI: less than half of the work, and not the network of Table 1.
_base_ = ["../sst_r101.py"]
model = dict(encoder=dict(backbone=dict(output_stride=16)))
