# AOT-S: two propagation layers.
_base_ = "aott.py"
model = dict(matching_head=dict(layers=2))
