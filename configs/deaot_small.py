# A small DeAOT on synthetic clips that are made on the fly: needs no data set and no GPU. Its encoder is not trained:
# start it from ImageNet weights with --cfg-options model.encoder.backbone.weights=mobilenet_v2.pth
_base_ = ["_base_/runtime.py", "_base_/deaot_small_model.py", "_base_/schedules/deaot_small.py"]
