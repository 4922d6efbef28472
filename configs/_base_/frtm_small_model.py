# A small FRTM for a CPU: MobileNet-V2 up to stride 16, frozen, target models of 32 channels, a refiner of 32 over three
# strides. Target models of training clips are learnt as in tests, but never again.
model = dict(
    type="FRTM",
    preprocessor=dict(type="VOSPreprocessor", divisor=1),
    backbone=dict(type="MobileNetV2", frozen_stages=4),
    memory=dict(
        type="TargetModel", augmentation=dict(type="CutAndPaste", num_aug=5), channels=32, init_iters=(5, 10, 10),
        update_iters=(5,), update_every=8, capacity=40, train=dict(update_every=None)),
    decoder=dict(type="Refiner", channels=32, names=("c4", "c3", "c2"), norm=dict(type="GN", channels_per_group=8)),
    losses=[dict(type="ObjectBCE")])
