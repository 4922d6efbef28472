# SpVOS behind a reuse gate: on frames that are computed, a tenth of the sites of encoder and decoder are.
_base_ = ["g_stcn_r50.py"]
model = dict(segmentor=dict(
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy=dict(type="Mixed"),
                losses=[dict(type="SparsityLoss", target=0.1)])))
