# DeAOT-T with gated deformable attention, taught by a trained R50-DeAOT-L without labels (Truong et al.):
#   --cfg-options task.teacher.weights=r50_deaotl.pth model.encoder.backbone.weights=mobilenet_v2.pth
_base_ = ["_base_/runtime.py", "_base_/deaot_model.py", "_base_/schedules/distillation.py", "_base_/distillation.py"]
model = dict(matching_head=dict(deformable=dict(type="GatedDeformableAttention", grid_factor=2, groups=4)),
             losses=[])
task = dict(teacher=dict(config="r50_deaotl", weights="r50_deaotl.pth"))
