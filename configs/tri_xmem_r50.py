# Tri-XMem (SpVOS, IV-D5): XMem with triple sparse convolutions in the key encoder, the decoder and the decoder's update
# of the sensory memory. Clips of four frames, of which the first and one of the second and third are memory frames, and
# dense; the loss of the masks is SpVOS's, without XMem's dice. Trained on DAVIS and YouTube-VOS (IV-B) from a trained
# XMem: --cfg-options model.sparse.dense_weights=xmem.pth (gates start from scratch).
_base_ = ["xmem_r50.py"]
model = dict(
    memory=dict(train_candidates=2),
    sparse=dict(conv=dict(type="TripleSparseConv", tau=1.0), where="QD", policy=dict(type="Mixed"),
                losses=[dict(type="SparsityLoss", target=0.1)]),
    losses=[dict(type="BootstrappedCE", start_warm=20_000, end_warm=70_000, top_p=0.15)])
stages = [dict(name="main", curriculum={{_base_.skips}})]
