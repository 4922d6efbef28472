# R50-DeAOT-L: DeAOT-L with ResNet-50, whose map of stride 16 is both decoded and projected.
_base_ = "deaotl.py"
model = dict(encoder=dict(
    backbone=dict(_delete_=True, type="ResNet", depth=50, norm=dict(type="FrozenBN"), frozen_stages=1)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"encoder.backbone": dict(lr_mult=0.145)}))
param_scheduler = [dict(type="WarmupPolyLR", least=1e-5, power=0.9, warmup=0.05)]
