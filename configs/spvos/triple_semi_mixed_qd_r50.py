_base_ = ["../spvos_r50.py"]
model = dict(sparse=dict(where="QD", policy=dict(type="SemiMixed")))
