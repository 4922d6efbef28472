# Fig. 4: the KL divergence of where the maps have their energy in place of CKA.
_base_ = "small_full.py"
task = dict(pairs=[{{_base_.inter}}, {{_base_.intra}}, dict(
    teacher="propagation.2.id.output", student="propagation.0.id.output",
    loss=dict(type="KLAttentionLoss", over="cells", weight=1.5))])
