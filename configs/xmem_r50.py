# XMem, full size, trained as SpVOS trains it: clips of four frames, of which the first and a random one of the second
# and third are read for the fourth. Static images first, then DAVIS and YouTube-VOS.
# Start the encoders from ImageNet weights with
#   --cfg-options model.key_encoder.backbone.weights=resnet50.pth model.value_encoder.backbone.weights=resnet18.pth
_base_ = ["_base_/runtime.py", "_base_/xmem_r50_model.py", "_base_/schedules/spvos_160k.py",
          "_base_/davis_youtube_static.py"]
clip = dict(length=4)
