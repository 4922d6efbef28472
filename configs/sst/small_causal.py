# No frame sees a later one; cache="layers" would keep keys and values of every layer.
_base_ = ["../sst_small.py"]
model = dict(matching_head=dict(causal=True))
