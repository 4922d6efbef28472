# EfficientVIS with multi-scale training (Table 1g). The paper names no sizes: 288 to 512 pixels, as CrossVIS and others
# of its Table 2 train.
_base_ = ["efficientvis_r50.py"]
train_dataloader = dict(dataset=dict(short_sides=(288, 320, 352, 392, 416, 448, 480, 512)))
