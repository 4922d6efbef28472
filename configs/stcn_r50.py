# STCN, full size: SpVOS's non-sparse baseline. Static images first, then DAVIS and YouTube-VOS.
# Start the encoders from ImageNet weights with
#   --cfg-options model.key_encoder.backbone.weights=resnet50.pth model.value_encoder.backbone.weights=resnet18.pth
_base_ = ["_base_/runtime.py", "_base_/stcn_r50_model.py", "_base_/schedules/spvos_160k.py",
          "_base_/davis_youtube_static.py"]
