# Hard pseudo labels: the teacher's masks where training with labels has labels.
_base_ = "../deformable_deaott_distilled.py"
task = dict(pairs=[dict(teacher="logits", student="logits", loss=dict(type="PseudoLabelLoss"))])
