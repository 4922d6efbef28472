# Every slot for itself: the sigmoid of section 3 at training time.
_base_ = ["../sst_r101.py"]
model = dict(losses=[dict(type="BootstrappedBCE", start_warm=0, end_warm=0.5, top_p=0.15, count_void=True)])
