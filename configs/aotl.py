# AOT-L: three propagation layers, a long-term frame every five.
_base_ = "aott.py"
model = dict(matching_head=dict(layers=3), memory=dict(gap=5, train_gap=2))
