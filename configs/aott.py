# AOT-T: one propagation layer, no long-term frames but those that start objects.
# Start the backbone from ImageNet weights with --cfg-options model.encoder.backbone.weights=mobilenet_v2.pth
_base_ = ["_base_/runtime.py", "_base_/aot_model.py", "_base_/schedules/aot.py"]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"offset_values": dict(decay_mult=0.0)}))
