# Table 4: the attention map of the teacher's second layer, and relations between objects alone.
_base_ = "small_full.py"
task = dict(pairs=[{{_base_.inter}}, dict(
    teacher="propagation.1.id.output", student="propagation.0.id.output", loss=dict(type="CKALoss", weight=1.5))])
