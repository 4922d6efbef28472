# How the small DeAOTs learn: from synthetic clips made on the fly, about a quarter of an hour on one processor core.
_base_ = "small_from_scratch.py"
data_root = "data/synthetic/davis"
train_dataloader = dict(dataset=dict(type="SyntheticClips", size=(129, 129), max_objects=3), batch_size=4,
                        num_workers=1)
optim_wrapper = dict(amp=None)
curriculum = [dict(begin=0.7, length=5, batch_size=3)]
train_cfg = dict(max_iters=850)
test_dataset = dict(type="DavisDataset", data_root=data_root, split="val", year="2017")
test_evaluator = dict(type="DavisMetric")
test_session = dict(max_short_side=240)
