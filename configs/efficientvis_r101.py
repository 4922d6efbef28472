# EfficientVIS with ResNet-101.
_base_ = ["efficientvis_r50.py"]
model = dict(backbone=dict(depth=101))
