# The small student with gated deformable attention, taught by deaot_small without labels:
#   --cfg-options task.teacher.weights=work_dirs/deaot_small/final.pth
_base_ = ["../_base_/runtime.py", "../_base_/deaot_small_student_model.py", "../_base_/schedules/distillation_small.py",
          "../_base_/distillation.py"]
model = dict(matching_head=dict(deformable=dict(type="GatedDeformableAttention", grid_factor=2, groups=4)),
             losses=[])
task = dict(teacher=dict(config="deaot_small", weights="work_dirs/deaot_small/final.pth"))
default_hooks = dict(logger=dict(interval=5))
