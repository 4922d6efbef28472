# Hard pseudo labels: the teacher's masks where training with labels has labels.
_base_ = "small_full.py"
task = dict(pairs=[dict(teacher="logits", student="logits", loss=dict(type="PseudoLabelLoss"))])
