# The residual baseline of spvos_small; it has no target: the weight of its loss decides what it computes.
_base_ = ["spvos_small.py"]
model = dict(sparse=dict(conv=dict(type="ResidualSparseConv"), losses=[dict(type="ComputationLoss")]))
