# DeAOT-T: one propagation layer, no long-term frames but those that start objects.
# Start the backbone from ImageNet weights with --cfg-options model.encoder.backbone.weights=mobilenet_v2.pth
_base_ = ["_base_/runtime.py", "_base_/deaot_model.py", "_base_/schedules/aot.py"]
train_dataloader = dict(dataset=dict(dataset=dict(each=dict(transforms="deaot"))))
