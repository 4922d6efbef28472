_base_ = ["../spvos_r50.py"]
model = dict(sparse=dict(conv=dict(type="ResidualSparseConv"), losses=[dict(type="ComputationLoss")],
                         where="QD", policy=dict(type="SemiMixed")))
