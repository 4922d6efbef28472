# Table 2: DIST, the logits alone (lambda = 0).
_base_ = "small_full.py"
task = dict(pairs=[{{_base_.inter}}, {{_base_.intra}}])
