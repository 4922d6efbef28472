_base_ = ["../spvos_r50.py"]
model = dict(sparse=dict(where="QDM", policy=dict(type="SemiMixed")))
