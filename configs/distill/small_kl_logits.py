# Plain distillation: the KL divergence of the logits alone.
_base_ = "small_full.py"
task = dict(pairs=[dict(teacher="logits", student="logits", loss=dict(type="KLLogitLoss"))])
