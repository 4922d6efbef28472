_base_ = ["../spvos_r50.py"]
model = dict(sparse=dict(conv=dict(type="StaticSparseConv"), where="QDM", policy=dict(type="SemiMixed")))
