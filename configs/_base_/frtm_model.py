# FRTM (Robinson et al., CVPR 2020) with ResNet-101: target models at stride 16, a refiner of 64 channels over strides
# 32 to 4. Target models of training clips have values of their own (the long schedule, for FRTM-fast too); they are
# learnt on the first frame only.
model = dict(
    type="FRTM",
    preprocessor=dict(type="VOSPreprocessor", divisor=1),
    backbone=dict(type="ResNet", depth=101, widths=(64, 128, 256, 512), frozen_stages=4),
    memory=dict(
        type="TargetModel", augmentation=dict(type="CutAndPaste", num_aug=5), channels=96,
        init_iters=(5, 10, 10, 10, 10), update_iters=(10,), update_every=8, capacity=80, learning_rate=0.1,
        filter_reg=(1e-4, 1e-2), precond=(1e-4, 1e-2), forgetting=750, pixel_weighting="hinge",
        train=dict(augmentation=dict(type="CutAndPaste", num_aug=15), channels=32, update_every=None,
                   init_iters=(5, 10, 10, 10, 10), update_iters=(10,), filter_reg=(1e-5, 1e-4),
                   precond=(1e-5, 1e-4), forgetting=75, pixel_weighting="none")),
    decoder=dict(type="Refiner", channels=64, norm=dict(type="BN")),
    losses=[dict(type="ObjectBCE")])
