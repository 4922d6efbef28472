# SpVOS on the small STCN: learns from scratch on synthetic clips, on a CPU.
_base_ = ["stcn_small.py"]
model = dict(
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy="mixed",
                losses=[dict(type="SparsityLoss", target=0.1)],
                everywhere=False, fold=True, dense_kernels=False, dense_weights=None))
