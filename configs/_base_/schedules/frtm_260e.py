# FRTM: Adam (amsgrad) 1e-3, decay 1e-5, 16 clips of three frames, a tenth at epochs 127 and 254 of 260. An epoch is 8
# draws of each of the 138 objects of DAVIS 2017 train and 4,000 of YouTube-VOS: 5,104 clips, 319 iterations; 260 are
# 82,940.
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3, weight_decay=1e-5, amsgrad=True), amp=None)
param_scheduler = [dict(type="MultiStepLR", milestones=[40_513, 81_026], gamma=0.1)]
train_cfg = dict(max_iters=82_940, val_interval=10_000)
clip = dict(length=3)
