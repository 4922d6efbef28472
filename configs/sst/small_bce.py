# Every slot for itself: the sigmoid of section 3 at training time.
_base_ = ["../sst_small.py"]
model = dict(losses=[dict(type="BootstrappedBCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
