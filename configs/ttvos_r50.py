# TTVOS with ResNet-50. Start the backbone from ImageNet weights with --cfg-options model.backbone.weights=resnet50.pth
_base_ = ["_base_/runtime.py", "_base_/ttvos_model.py", "_base_/schedules/ttvos.py"]
