# The static baseline of spvos_small.
_base_ = ["spvos_small.py"]
model = dict(sparse=dict(conv=dict(type="StaticSparseConv")))
