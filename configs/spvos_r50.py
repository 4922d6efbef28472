# SpVOS: STCN whose key encoder and decoder compute a tenth of their sites, reuse some and skip the rest. Trained on
# DAVIS and YouTube-VOS (section IV-B) from a trained STCN: --cfg-options model.sparse.dense_weights=stcn.pth (gates
# start from scratch). All tokens of the memory are read, as Eq. 5 says; STCN's 20 best: model.matching_head.top_k=20.
_base_ = ["stcn_r50.py"]
model = dict(
    matching_head=dict(top_k=None),
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy=dict(type="Mixed"),
                losses=[dict(type="SparsityLoss", target=0.1)]))
stages = [dict(name="main", curriculum={{_base_.skips}})]
