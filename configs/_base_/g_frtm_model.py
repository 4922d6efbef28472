# FRTM behind a reuse gate (Park et al., CVPR 2021).
_base_ = ["frtm_model.py"]
model = dict(
    _delete_=True,
    type="ReuseGated",
    segmentor={{_base_.model}},
    gate=dict(type="ReuseGate", outputs=2, initial_rate=0.15),
    matching=dict(type="TemplateMatching"),
    delta=dict(type="DeltaGenerator"),
    translator=dict(type="RefineTranslator"),
    tau=0.7, mode="translate",
    losses=[dict(type="DeltaLoss"), dict(type="GateProbabilityLoss", m1=0.0, m2=0.0)])
