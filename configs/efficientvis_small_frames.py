# What efficientvis_small is without time: the same detector on single frames, linked by a rule; what it starts from.
_base_ = ["efficientvis_small.py"]
still = dict(type="StillImageDynamicConv")
model = dict(
    clip_length=1,
    interaction=dict(attention=dict(type="SpatialAttention"), head=dict(dynamic_conv=still),
                     mask_head=dict(dynamic_conv=still)),
    linker=dict(type="HandCraftedLinking"))
clip = dict(length=1)
train_dataloader = dict(dataset=dict(pairs=False), batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_iters=3_500)
