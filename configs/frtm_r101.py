# FRTM, full size (section 4 of the paper). The backbone is frozen; start it from ImageNet weights with
#   --cfg-options model.backbone.weights=resnet101.pth
_base_ = ["_base_/runtime.py", "_base_/frtm_model.py", "_base_/davis_youtube.py", "_base_/schedules/frtm_260e.py"]
train_dataloader = dict(batch_size=16)
