# DeAOT-B: three propagation layers.
_base_ = "deaott.py"
model = dict(matching_head=dict(layers=3))
