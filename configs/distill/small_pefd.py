# Table 2: PEFD, features alone: what the logits are made of.
_base_ = "small_full.py"
task = dict(pairs=[dict(
    teacher="decoded", student="decoded", loss=dict(type="ProjectorEnsembleLoss"))])
