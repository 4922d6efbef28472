# DeAOT-S: two propagation layers.
_base_ = "deaott.py"
model = dict(matching_head=dict(layers=2))
