# TTVOS with ResNet-18: the last stage has stride 16, and of its second block the second convolution is dilated.
_base_ = ["ttvos_r50.py"]
model = dict(backbone=dict(depth=18, block="half_dilated", widths=(64, 128, 256, 512), output_stride=16,
                           multi_grid=None, frozen_stages=3))
