# A smaller student of deaot_small, trained with labels, on the same clips and for as long.
_base_ = ["_base_/runtime.py", "_base_/deaot_small_student_model.py", "_base_/schedules/deaot_small.py"]
