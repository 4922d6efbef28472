_base_ = ["../spvos_r50.py"]
model = dict(sparse=dict(conv=dict(type="StaticSparseConv"), where="QD", policy=dict(type="SemiMixed")))
