# SpVOS: STCN whose key encoder and decoder compute a tenth of their sites, reuse some and skip the rest.
# Start from a trained STCN with --cfg-options model.sparse.dense_weights=stcn.pth (gates start from scratch).
_base_ = ["stcn_r50.py"]
model = dict(
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy=dict(type="Mixed"),
                losses=[dict(type="SparsityLoss", target=0.1)]))
